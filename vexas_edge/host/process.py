"""This process on its PC: threads, memory, priority."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

_BELOW_NORMAL = 0x4000  # Windows' BELOW_NORMAL_PRIORITY_CLASS
_NICER = 10

# More threads gain little for one case and take the analyzer's PC away from other programs.
MOST_THREADS = 8


def default_threads() -> int:
    """The number of cores that this process may use, at most MOST_THREADS."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MOST_THREADS)
    return min(os.cpu_count() or 1, MOST_THREADS)


def polite_threads() -> int:
    """The same, with a core left to other programs."""
    return max(1, default_threads() - 1)


def peak_memory_mib() -> float | None:
    """The peak resident memory of this process in MiB; None where the system does not say."""
    # Not resource.getrusage: its figure begins with the peak of the process that started this one.
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # Windows and macOS
        return None
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def lower_priority() -> None:
    """Let every other program of this PC go first, from now on."""
    if sys.platform == "win32":
        windows: Any = ctypes.windll
        windows.kernel32.SetPriorityClass(windows.kernel32.GetCurrentProcess(), _BELOW_NORMAL)
    else:
        os.nice(_NICER)
