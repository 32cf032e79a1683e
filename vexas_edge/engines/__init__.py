"""What executes a graph on this host: one small contract, one file for each engine."""

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, get_args

from vexas_edge.errors import HostError

if TYPE_CHECKING:
    from numpy import ndarray

EngineName = Literal["auto", "onnxruntime", "openvino", "tensorrt"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "fp16", "int8"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
DEVICES: tuple[Device, ...] = get_args(Device)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


# The key of a tensor's external data, as protobuf writes a string of eight characters.
_EXTERNAL_DATA = re.compile(rb"[\x08\x00]location")


def _silent(line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Which engine, where. A device that is asked for by name is used or refused, never replaced.

    threads: compute threads; None means `default_threads()`. calls_at_once: how many threads will
    call `run` at the same time, and so share the compute threads. cells_a_call: for how many cells
    an engine of fixed shapes prepares; None where any number is to be expected. precision: what the
    graph says that it computes in, for an engine that proves it. build: whether an engine may be
    built on this PC, which takes minutes. report: called with how far that is, a line each.
    """

    engine: EngineName = "auto"
    device: Device = "auto"
    threads: int | None = None
    calls_at_once: int = 1
    cells_a_call: int | None = None
    precision: Precision = "fp32"
    build: bool = False
    report: Callable[[str], None] = field(default=_silent, compare=False)


class Engine(Protocol):
    """One graph, ready to run. Closing it frees its memory.

    name, version, device: what really runs it, for the record. threads: of compute.
    shapes: of each input and output by name, None where a dimension is free. most_cells: that a
    call may bring; None where any number may come.
    """

    name: str
    version: str
    device: str
    threads: int
    shapes: "Mapping[str, tuple[int | None, ...]]"
    most_cells: int | None

    def run(self, feeds: "Mapping[str, ndarray]") -> "dict[str, ndarray]":
        """All outputs of the graph by name, for all its inputs by name; from any thread."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...


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


def refuse_external_data(graph: bytes, engine: EngineName) -> None:
    """Pass if the ONNX graph keeps all its weights itself, where they were hashed.

    Raises:
        HostError: it refers to another file.
    """
    if _EXTERNAL_DATA.search(graph):
        raise HostError(f"{engine} was given a graph that refers to another file; it is refused")


def find_windows_runtime() -> None:
    """Let libraries find Microsoft's C++ runtime where the `msvc-runtime` wheel has put it.

    That is the environment's own folder, in which Windows does not look by itself.
    """
    if sys.platform == "win32" and Path(sys.prefix, "msvcp140.dll").is_file():
        os.add_dll_directory(sys.prefix)


def _module(engine: EngineName) -> Any:
    name = "onnxruntime" if engine == "auto" else engine
    return import_module(f"vexas_edge.engines.{name}_engine")
