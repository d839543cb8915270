#!/usr/bin/env python3
"""Tests of pimalloc-run, one line for each.  CTest calls it with what it built."""

import argparse
import sys

import cases_check  # noqa: F401  (they register themselves)
import cases_options  # noqa: F401
import cases_python  # noqa: F401
import cases_run  # noqa: F401
import harness


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launcher", required=True, help="pimalloc-run")
    parser.add_argument("--standin", required=True, help="the stand-in for the preload library")
    parser.add_argument("--libdir", default="lib", help="LIBDIR, below the prefix")
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--version", required=True, help="what --version must say")
    parser.add_argument("--mimalloc", default="", help="a libmimalloc.so.3 that is new enough")
    parser.add_argument("--old-mimalloc", default="", help="one that is too old")
    parser.add_argument("--sanitized", action="store_true",
                        help="the build has sanitizers, so the real library cannot be preloaded")
    parser.add_argument("pythons", nargs="*", help="CPythons 3.12 or newer")
    sys.stdout.reconfigure(line_buffering=True)
    return 1 if harness.run_all(parser.parse_args()) else 0


if __name__ == "__main__":
    sys.exit(main())
