"""What an engine is: a graph and options in; then tensors by name in, tensors by name out.

An engine knows nothing of cells. Whoever opens it says which tensors have as many rows as each
other, and how many rows calls will bring; an engine that wants fixed shapes goes by that.

To add an engine, write one file that gives `ABILITIES`, `devices` and `start` as `EngineModule`
describes them, without importing its library before it is asked to, and name it in
`vexas_edge.choices` and in `vexas_edge.engines.opening`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Protocol, Self

from vexas_edge.choices import AUTO, Device, EngineName, Precision

if TYPE_CHECKING:
    from numpy import ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class CallSize:
    """How much a device is given in one call, at most: this many rows, and values in them."""

    rows: int
    values: int

    def rows_of(self, row_shape: tuple[int, ...]) -> int:
        """The rows of this shape that make a call, at least 1."""
        return min(self.rows, max(1, self.values // prod(row_shape)))


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What an engine can do, as its own file says without loading its library.

    packages: distributions whose versions change its numbers or its speed.
    graphs: on each device, the kind of graph that it runs in each precision.
    call_sizes: on each device, beyond which larger calls gain no speed and cost memory.
    """

    packages: tuple[str, ...]
    graphs: Mapping[Device, Mapping[Precision, str]]
    call_sizes: Mapping[Device, CallSize]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowGroup:
    """Tensors that have as many rows as each other in every call.

    tensors: their names, inputs and outputs. most: how many rows a call brings at the most.
    block: how many rows most calls bring. An engine may fill calls up to a multiple of it and drop
    what came of the filling; None where that would change the other rows' results.
    """

    tensors: frozenset[str]
    most: int
    block: int | None = None


def _silent(line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Which engine, where. A device that is asked for by name is used or refused, never replaced.

    threads: compute threads; None means `default_threads()`.
    calls_at_once: how many threads will call `run` at the same time, and so share these.
    rows: how rows hang together and how many come; empty where nothing is known of them.
    precision: what the graph says that it computes in, for an engine that proves it.
    build: whether an engine may be built on this PC, which takes minutes.
    report: called with how far that is, a line each.
    """

    engine: EngineName = AUTO
    device: Device = AUTO
    threads: int | None = None
    calls_at_once: int = 1
    rows: tuple[RowGroup, ...] = ()
    precision: Precision = "fp32"
    build: bool = False
    report: Callable[[str], None] = field(default=_silent, compare=False)


class Engine(Protocol):
    """One graph, ready to run. Closing it frees its memory.

    name, version, device: what really runs it, for the record.
    threads: of compute.
    shapes: of each input and output by name, None where a dimension is free.
    most_rows: how many rows a call may bring of a tensor; without an entry, any number.
    """

    name: str
    version: str
    device: str
    threads: int
    shapes: "Mapping[str, tuple[int | None, ...]]"
    most_rows: "Mapping[str, int]"

    def run(self, feeds: "Mapping[str, ndarray]") -> "dict[str, ndarray]":
        """All outputs of the graph by name, for all its inputs by name; from any thread."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...


class EngineModule(Protocol):
    """The file of one engine."""

    ABILITIES: Abilities

    def devices(self) -> tuple[Device, ...]:
        """Where it runs on this PC. Raises HostError that says what to install."""

    def start(self, graph: bytes, options: EngineOptions) -> Engine:
        """The ONNX graph, loaded. Raises HostError where that cannot be done as asked."""
