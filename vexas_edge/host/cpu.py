"""What this PC's CPU can do with numbers of few bits."""

import platform
from functools import cache
from importlib import import_module
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

# Multiply-adds of 8-bit integers that do not saturate: on x86 (VNNI), on ARM (dot product).
_LINUX_FLAGS = {"avx512_vnni", "avx_vnni", "asimddp"}
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_NUMPY_FEATURES = ("AVX512VNNI", "ASIMDDP")


@cache
def has_vnni() -> bool:
    """Whether this CPU sums 8-bit products exactly; False where that cannot be known.

    Without VNNI, sums with 8-bit weights may saturate, and the same file then gives other numbers
    than on another PC.
    """
    if info := _cpuinfo():
        return not _LINUX_FLAGS.isdisjoint(info.split())
    # Windows has no list to read, but numpy asks the CPU itself. numpy does not know AVX-VNNI.
    return any(_numpy_features().get(name, False) for name in _NUMPY_FEATURES)


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; False where that cannot be known.

    Where it does not, torch emulates bfloat16, 15 times as slowly as float32.
    """
    return not _BFLOAT16_FLAGS.isdisjoint(_cpuinfo().split())


def cpu_name() -> str:
    """The CPU's name as its maker writes it; where that is unknown, its architecture."""
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cpuinfo() -> str:
    try:
        return _CPUINFO.read_text(errors="replace")
    except OSError:  # Windows and macOS have no such file
        return ""


def _numpy_features() -> dict[str, bool]:
    try:
        features = import_module("numpy._core._multiarray_umath").__cpu_features__
    except (ImportError, AttributeError):  # numpy 1, or a version that keeps it elsewhere
        return {}
    return dict(features)
