"""The engine of a name, opened: each engine is one file that gives `devices` and `start`."""

from importlib import import_module
from typing import Any

from vexas_edge.engines.contract import Device, Engine, EngineName, EngineOptions

# Where each engine is implemented; imported when it is asked for.
_HOMES: dict[EngineName, str] = {
    "auto": "vexas_edge.engines.onnxruntime",
    "onnxruntime": "vexas_edge.engines.onnxruntime",
    "openvino": "vexas_edge.engines.openvino",
    "tensorrt": "vexas_edge.engines.tensorrt.engine",
}


def has_cuda(options: EngineOptions) -> bool:
    """Whether the engine runs on a GPU of this PC."""
    return "cuda" in devices_of(options.engine)


def devices_of(engine: EngineName) -> tuple[Device, ...]:
    """Where the engine runs on this PC.

    Raises:
        HostError: it is not there; the message says what to install.
    """
    devices: tuple[Device, ...] = _module(engine).devices()
    return devices


def open_engine(graph: bytes, options: EngineOptions) -> Engine:
    """An engine that runs the ONNX graph.

    Raises:
        HostError: this PC has not the engine or the device asked for.
    """
    engine: Engine = _module(options.engine).start(graph, options)
    return engine


def _module(engine: EngineName) -> Any:
    return import_module(_HOMES[engine])
