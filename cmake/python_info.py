"""Tell CMake what it must know of the Python that runs this, as KEY=VALUE lines.

Runs under any Python 3, so that a too old one can be named in the message.
"""
import os
import platform
import sys
import sysconfig


def var(name):
    return sysconfig.get_config_var(name) or ""


def first_file(dirs, names):
    for d in dirs:
        for name in names:
            path = os.path.join(d, name) if d and name else ""
            if path and os.path.isfile(path):
                return path
    return ""


def shared_library():
    """Where libpython is: distributions move it away from LIBDIR."""
    if not str(var("LDLIBRARY")).endswith(".so"):
        return ""
    dirs = [var("LIBDIR"), os.path.join(var("LIBDIR"), var("MULTIARCH")),
            os.path.join(sys.base_prefix, "lib"), var("LIBPL")]
    return first_file(dirs, [var("LDLIBRARY"), var("INSTSONAME")])


# In a virtual environment the interpreter behind it is the one that counts.
executable = getattr(sys, "_base_executable", None) or sys.executable
include = sysconfig.get_path("include", vars={}) or ""
if not os.path.isfile(os.path.join(include, "Python.h")):
    include = var("INCLUDEPY")
info = {
    "EXECUTABLE": os.path.realpath(executable),
    "VERSION": platform.python_version(),
    "IMPLEMENTATION": platform.python_implementation(),
    "HEX": "%d%02d" % sys.version_info[:2],
    "DEBUG": int(bool(var("Py_DEBUG"))),
    "FREE_THREADED": int(bool(var("Py_GIL_DISABLED"))),
    "INCLUDE": include if os.path.isfile(os.path.join(include, "Python.h")) else "",
    "SHARED": shared_library(),
    "STATIC": first_file([var("LIBPL"), var("LIBDIR")], [var("LIBRARY")]),
    "STATIC_FLAGS": " ".join([var("LIBS"), var("SYSLIBS"), var("LINKFORSHARED")]),
    "STDLIB": sysconfig.get_path("stdlib") or "",
}
for key, value in info.items():
    print("%s=%s" % (key, value))
