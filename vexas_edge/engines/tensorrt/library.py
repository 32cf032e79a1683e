"""The TensorRT that is installed, the full one or TensorRT for RTX, and what it says of failures.

Both have the same interface as far as it is used here. A call that fails returns None or False and
writes the reason to a log.
"""

import re
from collections import deque
from functools import cache
from importlib import import_module
from typing import Any

from vexas_edge.errors import DeviceMemoryError, HostError, MissingEngineError

__all__ = ["FOR_RTX", "NAME", "VERSION", "given", "log", "tensorrt"]

# Older versions of the full TensorRT may compute with less precision than the graph states.
_LEAST_VERSION = 11
# The bindings of TensorRT for RTX, which its wheels hold under this name; it comes second, since
# the full TensorRT is installed on purpose and runs on more GPUs.
_MODULES = ("tensorrt", "tensorrt_rtx_bindings")
_INSTALL = (
    "install it with `python -m pip install vexas-edge[tensorrt]` on a PC with an NVIDIA GPU, or "
    "use --engine onnxruntime"
)


def _imported() -> Any:
    missing: list[MissingEngineError] = []
    for name in _MODULES:
        try:
            found = import_module(name)
        except ModuleNotFoundError as error:
            missing.append(MissingEngineError(f"tensorrt cannot be loaded ({error})", _INSTALL))
        except (ImportError, OSError) as error:  # it is there, but one of its libraries is not
            missing.insert(0, MissingEngineError(f"tensorrt cannot be loaded ({error})", _INSTALL))
        else:
            if name != _MODULES[0] or _is_new_enough(found):
                return found
            missing.insert(0, _too_old(found))
    raise missing[0]


def _is_new_enough(full: Any) -> bool:
    return int(full.__version__.partition(".")[0]) >= _LEAST_VERSION


def _too_old(full: Any) -> MissingEngineError:
    return MissingEngineError(
        f"TensorRT {full.__version__} is installed, which may compute with less precision than a "
        "graph states",
        f"install {_LEAST_VERSION} or newer with `python -m pip install vexas-edge[tensorrt-full]`",
    )


tensorrt: Any = _imported()

# Whether it is TensorRT for RTX, whose plans are built without a GPU and run on other PCs.
FOR_RTX: bool = tensorrt.__name__ != _MODULES[0]
# What results say.
VERSION: str = f"RTX {tensorrt.__version__}" if FOR_RTX else tensorrt.__version__
# What people are told.
NAME: str = f"TensorRT {'for ' if FOR_RTX else ''}{VERSION}"

# As TensorRT and CUDA say it, in words and by names.
_NO_MEMORY = re.compile(r"out ?of ?memory|cudaErrorMemoryAllocation", re.IGNORECASE)


class _Log(tensorrt.ILogger):  # type: ignore[misc]
    """Keeps TensorRT's last errors and its description of layers; prints nothing.

    layers: what the builder last said of a plan's layers; empty if it says nothing of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._errors: deque[str] = deque(maxlen=3)
        self.layers = ""

    def last_errors(self) -> str:
        """The last errors, each of which is told once."""
        told = "; ".join(self._errors)
        self._errors.clear()
        return told

    def log(self, severity: Any, message: str) -> None:
        if severity.name in ("ERROR", "INTERNAL_ERROR"):
            self._errors.append(message)
        elif message.startswith("Layers:"):
            self.layers = message


@cache
def log() -> _Log:
    """The one log of this process: TensorRT wants all its objects to write to the same."""
    return _Log()


def given(value: Any, doing: str) -> Any:
    """The value that TensorRT returned.

    Raises:
        DeviceMemoryError: it failed for lack of the GPU's memory.
        HostError: the value is None or False, which means failure; the message has the reason that
            TensorRT logged.
    """
    if value is None or value is False:
        reason = log().last_errors()
        kind = DeviceMemoryError if _NO_MEMORY.search(reason) else HostError
        raise kind(f"{NAME} failed {doing}: {reason or 'no reason given'}")
    return value
