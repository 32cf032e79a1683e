"""Engines by name: what each can do, where it runs on this PC, and how a graph is opened in it."""

from functools import cache
from importlib import import_module
from typing import cast

from vexas_edge.choices import ENGINES, Device, EngineName, Precision
from vexas_edge.engines.contract import Abilities, Engine, EngineModule, EngineOptions
from vexas_edge.host.process import default_threads

# The module of each engine; "auto" means the reference engine, which is always installed.
_FILES: dict[EngineName, str] = {
    "auto": "vexas_edge.engines.onnxruntime",
    "onnxruntime": "vexas_edge.engines.onnxruntime",
    "openvino": "vexas_edge.engines.openvino",
    "tensorrt": "vexas_edge.engines.tensorrt",
}


def abilities_of(engine: EngineName) -> Abilities:
    """What the engine can do, whether or not it is installed on this PC."""
    return _file(engine).ABILITIES


def settings_of(engine: EngineName, device: Device, precision: Precision) -> tuple[str, ...]:
    """The ways to set the engine up there, its default first; empty if there is only one way."""
    return abilities_of(engine).settings.get(device, {}).get(precision, ())


@cache
def packages_that_count() -> tuple[str, ...]:
    """The distributions whose versions change numbers or speed, for all engines together."""
    of_engines = (package for engine in ENGINES for package in abilities_of(engine).packages)
    return tuple(dict.fromkeys((*of_engines, "numpy", "pillow")))


def devices_of(engine: EngineName) -> tuple[Device, ...]:
    """The devices of this PC that the engine runs on.

    Raises:
        HostError: the engine is not installed; the message says what to install.
    """
    return _file(engine).devices()


def device_of(options: EngineOptions) -> Device:
    """Where an engine that is opened with these options runs on this PC; never "auto".

    Unless it is named, an Intel GPU is used only after `prepare` has found it to be the fastest.
    """
    devices = abilities_of(options.engine).graphs
    if "cpu" not in devices:
        return next(iter(devices))
    if options.device in devices and options.device != "cuda":
        return options.device
    wants_cuda = "cuda" in devices and options.device != "cpu"
    return "cuda" if wants_cuda and "cuda" in devices_of(options.engine) else "cpu"


def open_engine(graph: bytes, options: EngineOptions) -> Engine:
    """An engine that runs the ONNX graph.

    Raises:
        HostError: this PC does not have the engine or the device that was asked for.
    """
    return _file(options.engine).start(graph, options)


def _file(engine: EngineName) -> EngineModule:
    return cast(EngineModule, import_module(_FILES[engine]))


def calls_on_cpu(threads: int | None) -> EngineOptions:
    """How a small graph runs that each cell passes: with one call per thread at the same time."""
    threads = threads or default_threads()
    return EngineOptions(engine="onnxruntime", device="cpu", threads=threads, calls_at_once=threads)
