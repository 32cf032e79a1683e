"""What this PC is: what measured figures and engines built here depend on."""

import ctypes
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vexas_edge.cpu import cpu_name, has_vnni
from vexas_edge.engines import default_threads
from vexas_edge.version import __version__

# Whose versions change numbers or speed.
PACKAGES = ("onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "numpy", "pillow")

_BELOW_NORMAL = 0x4000  # Windows' BELOW_NORMAL_PRIORITY_CLASS
_NICER = 10

_GPU_QUERY = ("--query-gpu=name,driver_version", "--format=csv,noheader")


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """One PC as it computes. threads: of compute. gpu: name and driver, absent without one."""

    cpu: str
    vnni: bool
    threads: int
    gpu: str | None
    versions: dict[str, str]


def this_host(threads: int | None = None) -> Host:
    """This PC, computing on so many threads; None means `default_threads()`."""
    found = {package: _installed(package) for package in PACKAGES}
    versions = {package: text for package, text in found.items() if text}
    return Host(
        cpu=cpu_name(),
        vnni=has_vnni(),
        threads=threads or default_threads(),
        gpu=gpu_and_driver(),
        versions={"vexas-edge": __version__, **versions},
    )


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process so far; None where the system does not say."""
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


@cache
def gpu_and_driver() -> str | None:
    """The first NVIDIA GPU and its driver, as in "NVIDIA T4, 580.65"; None where there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    try:
        found = subprocess.run([command, *_GPU_QUERY], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = found.stdout.splitlines()
    return lines[0].strip() if found.returncode == 0 and lines else None


@cache
def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
