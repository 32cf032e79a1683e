"""The TensorRT that is installed, the full one or TensorRT for RTX, and what it says of failures.

Both have the same interface as far as it is used here. A call that fails returns None or False and
writes the reason to a log.
"""

from collections import deque
from functools import cache
from importlib import import_module
from typing import Any

from vexas_edge.errors import HostError, MissingEngineError

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
    errors: list[ImportError | OSError] = []
    for name in _MODULES:
        try:
            return import_module(name)
        except (ImportError, OSError) as error:  # OSError: one of its libraries is missing
            errors.append(error)
    # Of a library that is not there at all, nothing more is to be said.
    told = next((e for e in errors if not isinstance(e, ModuleNotFoundError)), errors[-1])
    raise MissingEngineError(f"tensorrt cannot be loaded ({told})", _INSTALL) from told


tensorrt: Any = _imported()

# Whether it is TensorRT for RTX, whose plans are built without a GPU and run on other PCs.
FOR_RTX: bool = tensorrt.__name__ != _MODULES[0]
# What results say.
VERSION: str = f"RTX {tensorrt.__version__}" if FOR_RTX else tensorrt.__version__
# What people are told.
NAME: str = f"TensorRT {'for ' if FOR_RTX else ''}{VERSION}"

if not FOR_RTX and int(tensorrt.__version__.partition(".")[0]) < _LEAST_VERSION:
    raise MissingEngineError(
        f"{NAME} is installed, which may compute with less precision than a graph states",
        f"install {_LEAST_VERSION} or newer with `python -m pip install vexas-edge[tensorrt-full]`",
    )


class _Log(tensorrt.ILogger):  # type: ignore[misc]
    """Keeps TensorRT's last errors and its description of layers; prints nothing.

    layers: what the builder last said of a plan's layers; empty if it says nothing of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: deque[str] = deque(maxlen=3)
        self.layers = ""

    def log(self, severity: Any, message: str) -> None:
        if severity.name in ("ERROR", "INTERNAL_ERROR"):
            self.errors.append(message)
        elif message.startswith("Layers:"):
            self.layers = message


@cache
def log() -> _Log:
    """The one log of this process: TensorRT wants all its objects to write to the same."""
    return _Log()


def given(value: Any, doing: str) -> Any:
    """The value that TensorRT returned.

    Raises:
        HostError: the value is None or False, which means failure; the message has the reason that
            TensorRT logged.
    """
    if value is None or value is False:
        reason = "; ".join(log().errors) or "no reason given"
        log().errors.clear()  # so that each error is reported once
        raise HostError(f"{NAME} failed {doing}: {reason}")
    return value
