"""What an engine is: options in, tensors by name in and out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, Self, get_args

if TYPE_CHECKING:
    from numpy import ndarray

EngineName = Literal["auto", "onnxruntime", "openvino", "tensorrt"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "fp16", "int8"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
DEVICES: tuple[Device, ...] = get_args(Device)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


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
