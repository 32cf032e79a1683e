"""The examination of this PC: what it can run, what it cannot, and what to do about that."""

import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from vexas_edge.choices import ENGINES, EngineName
from vexas_edge.engines.cuda_start import (
    CUDA_13,
    LEAST_DRIVER,
    REMEDY_FOR_TWO_WHEELS,
    WHEELS,
    driver_problem,
)
from vexas_edge.engines.opening import abilities_of, devices_of
from vexas_edge.errors import HostError, MissingEngineError
from vexas_edge.host.cache import FOLDER_VARIABLE, cache_folder
from vexas_edge.host.cpu import cpu_name, has_vnni
from vexas_edge.host.facts import nvidia_gpu
from vexas_edge.host.process import default_threads

_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p"}
_REMOTE_DRIVE = 4  # GetDriveTypeW
_WINDOWS_PATH_LIMIT = 260
_LONGEST_NAME = 120  # of a result file in the folder

State = Literal["ok", "limited", "missing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What was found about one subject. The remedy is empty where there is nothing to do."""

    subject: str
    state: State
    found: str
    remedy: str = ""


def examine(folder: Path) -> Iterator[Finding]:
    """Yield all findings about this PC; `folder` is where results would be written."""
    yield _cpu()
    yield from _gpu()
    yield from (_engine(engine) for engine in ENGINES if engine != "auto")
    yield from _two_wheels()
    yield _writable("cache", cache_folder(), f"set {FOLDER_VARIABLE} to a folder of yours")
    yield _writable("results", folder, "choose another folder, such as one below your own")
    yield from _network(folder)
    yield from _long_paths(folder)


def can_score(findings: "tuple[Finding, ...]") -> bool:
    """Whether the reference engine runs, which every score comes from."""
    return any(f.subject == "onnxruntime" and f.state == "ok" for f in findings)


def _cpu() -> Finding:
    cpu = f"{cpu_name()}, {default_threads()} threads"
    if has_vnni():
        return Finding(subject="CPU", state="ok", found=f"{cpu}, VNNI: int8 graphs of 8 bits")
    return Finding(
        subject="CPU",
        state="limited",
        found=f"{cpu}, no VNNI seen: int8 graphs with 7-bit weights, which gain less",
        remedy="none needed; many CPUs made since 2019 have VNNI",
    )


def _gpu() -> Iterator[Finding]:
    gpu = nvidia_gpu()
    if gpu is None:
        wanted = _installed("onnxruntime-gpu") is not None
        yield Finding(
            subject="GPU",
            state="limited",
            found="no NVIDIA GPU, or no driver for it",
            remedy=f"install NVIDIA's driver {LEAST_DRIVER} or newer" if wanted else "",
        )
        return
    problem = driver_problem(gpu, CUDA_13)
    yield Finding(
        subject="GPU",
        state="limited" if problem else "ok",
        found=problem.found if problem else str(gpu),
        remedy=f"{problem.remedy}, or score on the CPU" if problem else "",
    )


def _engine(engine: EngineName) -> Finding:
    try:
        devices = devices_of(engine)
    except MissingEngineError as error:
        return Finding(subject=engine, state="missing", found=error.found, remedy=error.remedy)
    except HostError as error:
        return Finding(subject=engine, state="missing", found=str(error))
    versions = filter(None, map(_installed, abilities_of(engine).packages))
    found = f"{next(versions, 'of unknown version')}, runs on {', '.join(devices)}"
    if engine == "onnxruntime" and "cuda" not in devices and _wants_cuda():
        return _without_cuda(found)
    return Finding(subject=engine, state="ok", found=found)


def _wants_cuda() -> bool:
    return nvidia_gpu() is not None or _installed("onnxruntime-gpu") is not None


def _without_cuda(found: str) -> Finding:
    """onnxruntime runs, but not on the GPU that is there or that it was installed for."""
    from vexas_edge.engines.onnxruntime import why_not_cuda

    problem = why_not_cuda()
    return Finding(
        subject="onnxruntime",
        state="ok",
        found=f"{found}; not on a GPU: {problem.found}" if problem else found,
        remedy=f"to use a GPU, {problem.remedy}" if problem else "",
    )


def _two_wheels() -> Iterator[Finding]:
    if all(map(_installed, WHEELS)):
        yield Finding(
            subject="onnxruntime wheels",
            state="limited",
            found="onnxruntime and onnxruntime-gpu are both installed, and one hides the other",
            remedy=REMEDY_FOR_TWO_WHEELS,
        )


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _writable(subject: str, folder: Path, remedy: str) -> Finding:
    subject = f"{subject} folder"
    if problem := _problem_of_writing(folder):
        found = f"{folder} cannot be written: {problem}"
        return Finding(subject=subject, state="missing", found=found, remedy=remedy)
    return Finding(subject=subject, state="ok", found=f"{folder} can be written")


def _problem_of_writing(folder: Path) -> str:
    """Why the folder, which need not exist yet, cannot be written to; empty if it can."""
    places = (folder, *folder.absolute().parents)
    try:
        place = next((place for place in places if place.exists()), None)
        if place is None:
            return "neither its drive nor any folder above it exists"
        if not place.is_dir():
            return f"{place} is not a folder"
        with tempfile.NamedTemporaryFile(dir=place, prefix=".vexas-edge-"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _network(folder: Path) -> Iterator[Finding]:
    if is_network_share(folder.absolute()):
        yield Finding(
            subject="results folder",
            state="limited",
            found=f"{folder} is on a network share, which may stall or vanish",
            remedy="write results to a local folder and copy them from there",
        )


def is_network_share(folder: Path) -> bool:
    """Whether a folder lies on another machine, as far as the system can say."""
    if sys.platform == "win32":
        return str(folder).startswith("\\\\") or _drive_type(folder.anchor) == _REMOTE_DRIVE
    try:
        mounts = Path("/proc/mounts").read_text(errors="replace").splitlines()
    except OSError:  # macOS
        return False
    kinds = {fields[1]: fields[2] for fields in map(str.split, mounts) if len(fields) > 2}
    nearest = next((f for f in (folder, *folder.parents) if str(f) in kinds), None)
    return nearest is not None and kinds[str(nearest)] in _NETWORK_FILE_SYSTEMS


def _drive_type(anchor: str) -> int:
    if sys.platform != "win32":
        return 0
    kind: int = ctypes.windll.kernel32.GetDriveTypeW(anchor)
    return kind


def _long_paths(folder: Path, allowed: "Callable[[], bool] | None" = None) -> Iterator[Finding]:
    longest = len(str(folder.absolute())) + 1 + _LONGEST_NAME
    if os.name != "nt" or longest < _WINDOWS_PATH_LIMIT or (allowed or _allows_long_paths)():
        return
    yield Finding(
        subject="results folder",
        state="limited",
        found=f"{folder}: with a case's name, paths may exceed {_WINDOWS_PATH_LIMIT} characters",
        remedy="use a folder nearer to the root, such as C:\\vexas",
    )


def _allows_long_paths() -> bool:
    import winreg

    registry: Any = winreg
    place = r"SYSTEM\CurrentControlSet\Control\FileSystem"
    try:
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, place) as key:
            return bool(registry.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False
