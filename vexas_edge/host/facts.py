"""What this PC is: what measured figures and engines built here depend on."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from vexas_edge.host.cpu import cpu_name, has_vnni
from vexas_edge.host.process import default_threads
from vexas_edge.version import __version__

_GPU_QUERY = ("--query-gpu=name,driver_version", "--format=csv,noheader")


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """One PC as it computes. threads: of compute. gpu: name and driver, absent without one."""

    cpu: str
    vnni: bool
    threads: int
    gpu: str | None
    versions: dict[str, str]


def this_host(packages: Sequence[str], threads: int | None = None) -> Host:
    """This PC, computing on so many threads; None means `default_threads()`.

    Args:
        packages: distributions whose versions change numbers or speed.
    """
    found = {package: _installed(package) for package in packages}
    versions = {package: text for package, text in found.items() if text}
    return Host(
        cpu=cpu_name(),
        vnni=has_vnni(),
        threads=threads or default_threads(),
        gpu=gpu_and_driver(),
        versions={"vexas-edge": __version__, **versions},
    )


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
