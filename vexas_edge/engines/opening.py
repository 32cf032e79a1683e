"""The engine of a name: what it can do, where it runs here, and a graph opened in it."""

from functools import cache
from importlib import import_module
from typing import cast

from vexas_edge.choices import ENGINES, Device, EngineName
from vexas_edge.engines.contract import Abilities, Engine, EngineModule, EngineOptions

# Each engine's file; "auto" is the reference, which is always there.
_FILES: dict[EngineName, str] = {
    "auto": "vexas_edge.engines.onnxruntime",
    "onnxruntime": "vexas_edge.engines.onnxruntime",
    "openvino": "vexas_edge.engines.openvino",
    "tensorrt": "vexas_edge.engines.tensorrt",
}


def abilities_of(engine: EngineName) -> Abilities:
    """What the engine can do, whether or not this PC has it."""
    return _file(engine).ABILITIES


@cache
def packages_that_count() -> tuple[str, ...]:
    """The distributions whose versions change numbers or speed, on any engine."""
    of_engines = (package for engine in ENGINES for package in abilities_of(engine).packages)
    return tuple(dict.fromkeys((*of_engines, "numpy", "pillow")))


def devices_of(engine: EngineName) -> tuple[Device, ...]:
    """Where the engine runs on this PC.

    Raises:
        HostError: it is not there; the message says what to install.
    """
    return _file(engine).devices()


def runs_on_gpu(options: EngineOptions) -> bool:
    """Whether what these options open runs on a GPU of this PC."""
    if set(abilities_of(options.engine).graphs) == {"cuda"}:
        return True
    return options.device != "cpu" and "cuda" in devices_of(options.engine)


def open_engine(graph: bytes, options: EngineOptions) -> Engine:
    """An engine that runs the ONNX graph.

    Raises:
        HostError: this PC has not the engine or the device asked for.
    """
    return _file(options.engine).start(graph, options)


def _file(engine: EngineName) -> EngineModule:
    return cast(EngineModule, import_module(_FILES[engine]))
