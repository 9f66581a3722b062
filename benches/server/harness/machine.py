"""This machine and this checkout; CPU time and memory of a process. Reads only."""

import os
import platform
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def environment():
    """What a figure depends on, besides the code."""
    cpu = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.lower().startswith(("model name", "hardware")):
            cpu = line.split(":", 1)[1].strip()
            break
    memory = Path("/proc/meminfo").read_text().split(None, 2)[1]
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": cpu or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": int(memory) * 1024,
        "load_average": round(os.getloadavg()[0], 2),
    }


def commit():
    """The checkout's commit, with a + if files differ from it."""
    def git(*arguments):
        result = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True,
                                text=True, timeout=30, check=False)
        return result.stdout.strip() if result.returncode == 0 else None
    try:
        number = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if number is None else number + ("+" if changed else "")


def now():
    """UTC, as 2026-01-31T12:00:00Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def cpu_ns(pid):
    """CPU time of all threads that the process has, in nanoseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that ended meanwhile
    return total


def rss_bytes(pid):
    """Resident memory. Not from statm, whose counters lag behind by some pages per CPU."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/smaps_rollup names no Rss")
