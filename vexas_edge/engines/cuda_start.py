"""Starting CUDA for onnxruntime: its libraries, its log, and why it does not start."""

import ctypes
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from typing import Any

from vexas_edge.host.facts import NvidiaGpu, nvidia_gpu

# The oldest driver for each CUDA, from NVIDIA's release notes; the wheels of onnxruntime since 1.27
# and of TensorRT need CUDA 13.
CUDA_13 = "13"
_LEAST_DRIVERS = {"12": 525, CUDA_13: 580}
LEAST_DRIVER = _LEAST_DRIVERS[CUDA_13]

WHEELS = ("onnxruntime", "onnxruntime-gpu")
_INSTALL = "python -m pip install"
REMEDY_FOR_TWO_WHEELS = (
    "uninstall both, then install the one that you want: `python -m pip uninstall -y "
    f"{' '.join(WHEELS)}`, then `{_INSTALL} onnxruntime-gpu[cuda,cudnn]` for a GPU, or "
    f"`{_INSTALL} onnxruntime`"
)

_QUIET = 4  # onnxruntime's log level that leaves errors out
_NOT_LOADED = re.compile(r"^Failed to load (?:.*[\\/])?(\S+?): ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class CudaFacts:
    """What decides whether onnxruntime runs on CUDA here.

    wheels: the distributions of onnxruntime that are installed.
    onnxruntime: the version that is imported.
    cuda: the CUDA that it was built for, as in "13.0"; empty if it was built without.
    gpu: the first NVIDIA GPU that the driver shows.
    not_loaded: the files of CUDA's libraries that could not be loaded.
    failure: what onnxruntime said when it was started on CUDA.
    """

    wheels: Sequence[str]
    onnxruntime: str
    cuda: str
    gpu: NvidiaGpu | None
    not_loaded: Sequence[str]
    failure: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CudaProblem:
    """Why CUDA does not run: what was found, and what a person can do about it."""

    found: str
    remedy: str


def cuda_problem(facts: CudaFacts) -> CudaProblem:
    """Why onnxruntime does not run on CUDA on such a PC: the first cause that has to go."""
    if len(facts.wheels) > 1:
        return CudaProblem(
            found="onnxruntime and onnxruntime-gpu are both installed, and one hides the other",
            remedy=REMEDY_FOR_TWO_WHEELS,
        )
    if not facts.cuda:
        return CudaProblem(
            found=f"this onnxruntime {facts.onnxruntime} has no CUDA support",
            remedy="install onnxruntime-gpu[cuda,cudnn] in place of onnxruntime",
        )
    release = facts.cuda.split(".")[0]
    return driver_problem(facts.gpu, release) or _problem_of_libraries(facts)


def driver_problem(gpu: NvidiaGpu | None, release: str) -> CudaProblem | None:
    """Why the GPU's driver cannot run a release of CUDA, as in "13"; None if it can.

    Args:
        gpu: the first NVIDIA GPU that the driver shows.
    """
    least = _LEAST_DRIVERS.get(release, LEAST_DRIVER)
    if gpu is None:
        return CudaProblem(
            found="no NVIDIA GPU, or no driver for it",
            remedy=f"install NVIDIA's driver {least} or newer",
        )
    driver = gpu.driver.split(".")[0]
    if driver.isdigit() and int(driver) < least:
        return CudaProblem(
            found=f"{gpu}: the driver is too old for CUDA {release}",
            remedy=f"install driver {least} or newer",
        )
    return None


def _problem_of_libraries(facts: CudaFacts) -> CudaProblem:
    if facts.not_loaded:
        return CudaProblem(
            found=f"CUDA's libraries cannot be loaded: {', '.join(facts.not_loaded)}",
            remedy=f"install them with `{_INSTALL} onnxruntime-gpu[cuda,cudnn]`",
        )
    said = f" ({facts.failure})" if facts.failure else ""
    return CudaProblem(
        found=f"onnxruntime does not start on the GPU{said}",
        remedy="see whether `nvidia-smi` shows the GPU, and restart the PC",
    )


def cuda_facts(library: Any, failure: str) -> CudaFacts:
    """The facts of this PC, for the onnxruntime that is imported here."""
    cuda = str(getattr(library, "cuda_version", "") or "")
    return CudaFacts(
        wheels=tuple(wheel for wheel in WHEELS if _is_installed(wheel)),
        onnxruntime=library.__version__,
        cuda=cuda,
        gpu=nvidia_gpu(),
        not_loaded=load_cuda(library) if cuda else (),
        failure=failure,
    )


@cache
def load_cuda(library: Any) -> tuple[str, ...]:
    """Load CUDA's and cuDNN's libraries from their wheels; returns the files that do not load.

    From then on onnxruntime's own log is silent in this process: cuDNN's planner would write an
    error for each convolution that it tries in vain, and what fails for good raises anyway.
    """
    library.set_default_logger_severity(_QUIET)
    said = StringIO()
    if preload := getattr(library, "preload_dlls", None):
        with redirect_stdout(said):  # results are written there
            preload()
    missing = _NOT_LOADED.findall(said.getvalue())
    if not _loads(cudnn := "cudnn64_9.dll" if sys.platform == "win32" else "libcudnn.so.9"):
        missing.append(cudnn)  # of cuDNN it says nothing
    return tuple(dict.fromkeys(missing))


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _is_installed(wheel: str) -> bool:
    try:
        version(wheel)
    except PackageNotFoundError:
        return False
    return True
