"""What the figures were measured on."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")


def read(path, default=""):
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return default


def cpu_model():
    match = re.search(r"^model name\s*: (.*)$", read("/proc/cpuinfo"), re.M)
    return match.group(1) if match else platform.machine()


def mhz():
    match = re.search(r"^cpu MHz\s*: ([\d.]+)", read("/proc/cpuinfo"), re.M)
    return round(float(match.group(1))) if match else 0


def caches():
    """As Google Benchmark writes them."""
    found = []
    for index in sorted((CPUS / "cpu0/cache").glob("index*")):
        size = re.fullmatch(r"(\d+)K", read(index / "size"))
        if size:
            found.append({"type": read(index / "type"),
                          "level": int(read(index / "level", "0")),
                          "size": int(size.group(1)) * 1024})
    return found


def memory_mib():
    match = re.search(r"^MemTotal:\s*(\d+) kB", read("/proc/meminfo"), re.M)
    return int(match.group(1)) // 1024 if match else 0


def distribution():
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"),
                      re.M)
    return match.group(1) if match else "unknown"


def scaling():
    """Whether the clock changes with load: True, False or None (unknown)."""
    governor = read(CPUS / "cpu0/cpufreq/scaling_governor")
    return governor != "performance" if governor else None


def huge_pages():
    match = re.search(r"\[(\w+)\]",
                      read("/sys/kernel/mm/transparent_hugepage/enabled"))
    return match.group(1) if match else "unknown"


def commit(root):
    """The version of the sources, or None outside a git checkout."""
    try:
        done = subprocess.run(
            ["git", "-c", f"safe.directory={root}", "-C", str(root),
             "describe", "--always", "--dirty"],
            capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def context(root):
    """The machine's part of the result file's context."""
    known = {"date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
             "num_cpus": os.cpu_count(), "mhz_per_cpu": mhz(),
             "cpu_scaling_enabled": scaling(), "caches": caches(),
             "load_avg": [round(load, 2) for load in os.getloadavg()],
             "cpu_model": cpu_model(), "memory_mib": memory_mib(),
             "kernel": f"{platform.system()} {platform.release()}",
             "architecture": platform.machine(),
             "distribution": distribution(),
             "libc": " ".join(platform.libc_ver()),
             "huge_pages": huge_pages(), "commit": commit(root)}
    return {name: value for name, value in known.items() if value is not None}
