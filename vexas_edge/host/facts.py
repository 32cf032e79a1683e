"""The facts about this PC that measured figures, and engines that are built here, depend on."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from vexas_edge.host.cpu import cpu_name, has_vnni
from vexas_edge.host.process import default_threads
from vexas_edge.version import __version__


@dataclass(frozen=True, kw_only=True, slots=True)
class NvidiaGpu:
    """A GPU and its driver's version, as in "580.65.06"."""

    name: str
    driver: str

    def __str__(self) -> str:
        return f"{self.name}, {self.driver}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """What decides how a PC computes.

    vnni: whether the CPU sums 8-bit products exactly.
    threads: how many threads compute.
    gpu: the first NVIDIA GPU, if there is one.
    versions: of each installed distribution that changes numbers or speed.
    """

    cpu: str
    vnni: bool
    threads: int
    gpu: NvidiaGpu | None
    versions: dict[str, str]


def this_host(packages: Sequence[str], threads: int | None = None) -> Host:
    """The facts about this PC.

    Args:
        packages: distributions whose versions change numbers or speed.
        threads: how many threads compute; None means `default_threads()`.
    """
    found = {package: _installed(package) for package in packages}
    versions = {package: text for package, text in found.items() if text}
    return Host(
        cpu=cpu_name(),
        vnni=has_vnni(),
        threads=threads or default_threads(),
        gpu=nvidia_gpu(),
        versions={"vexas-edge": __version__, **versions},
    )


@cache
def nvidia_gpu() -> NvidiaGpu | None:
    """The first NVIDIA GPU and its driver; None where there is none."""
    lines = _each_gpus("name,driver_version")
    if not lines:
        return None
    name, _, driver = lines[0].rpartition(",")
    return NvidiaGpu(name=name.strip(), driver=driver.strip())


def free_gpu_memory_mib() -> int | None:
    """How much memory of the GPU nobody uses now, in MiB; None where that cannot be known.

    With several GPUs it cannot, as CUDA may count them in another order than the driver.
    """
    lines = _each_gpus("memory.free")
    return int(lines[0]) if len(lines) == 1 and lines[0].isdigit() else None


def _each_gpus(fields: str) -> list[str]:
    """What the driver says of each GPU, a line each, without units; empty if there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if found.returncode else [line.strip() for line in found.stdout.splitlines()]


@cache
def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
