"""The contract of an engine: it is opened with a graph, and turns named tensors into named tensors.

An engine knows nothing about cells. Whoever opens it says which tensors always have the same number
of rows, and how many rows calls will bring; an engine that needs fixed shapes relies on that.

To add an engine, write one file that defines `ABILITIES`, `devices` and `start` as `EngineModule`
describes them and imports its library only inside its functions. Name it in `vexas_edge.choices`
and in `vexas_edge.engines.opening`.
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
    """The most that a device is given in one call: a number of rows and of values in them."""

    rows: int
    values: int

    def rows_of(self, row_shape: tuple[int, ...]) -> int:
        """How many rows of this shape go into one call, at least 1."""
        return min(self.rows, max(1, self.values // prod(row_shape)))


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What an engine can do; known without loading its library.

    packages: the distributions whose versions change its numbers or its speed.
    graphs: for each device, the kind of graph that it runs in each precision.
    call_sizes: for each device, the size beyond which larger calls only cost memory.
    settings: for devices where it can be set up in several ways, their names in each precision;
        the first is the one that is taken unless another was measured to be faster.
    whole: whether it runs the whole graph. If not, it gives the outputs of the blocked rows alone.
    """

    packages: tuple[str, ...]
    graphs: Mapping[Device, Mapping[Precision, str]]
    call_sizes: Mapping[Device, CallSize]
    settings: Mapping[Device, Mapping[Precision, tuple[str, ...]]] = field(default_factory=dict)
    whole: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class RowGroup:
    """Tensors that all have the same number of rows in a call.

    tensors: the names of these inputs and outputs.
    most: the largest number of rows of any call.
    block: the number of rows of a typical call, the blocked rows. An engine may add rows to a call
    and drop their results; None where that would change the other rows' results. Outputs of blocked
    rows need no inputs but those of blocked rows.
    """

    tensors: frozenset[str]
    most: int
    block: int | None = None


def _silent(line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Which engine runs a graph, and how.

    device: a device that is named is used or refused, never replaced.
    threads: how many threads compute; None means `default_threads()`.
    calls_at_once: how many threads call `run` at the same time and so share the compute threads.
    rows: which tensors share their number of rows, and how many will come; empty if unknown.
    rows_per_call: how many rows of cells go into one call; None means what suits the device.
    precision: what the graph computes in, for an engine that proves it or is set up for it.
    setting: one of the engine's `Abilities.settings`; empty means its first.
    build: whether an engine may be built on this PC, which takes seconds or minutes.
    report: called with one line at a time about the progress of building.
    """

    engine: EngineName = AUTO
    device: Device = AUTO
    threads: int | None = None
    calls_at_once: int = 1
    rows: tuple[RowGroup, ...] = ()
    rows_per_call: int | None = None
    precision: Precision = "fp32"
    setting: str = ""
    build: bool = False
    report: Callable[[str], None] = field(default=_silent, compare=False)


class Engine(Protocol):
    """One graph, ready to run. Closing the engine frees its memory.

    name, version, device: what really runs the graph, for the record.
    threads: how many threads compute.
    shapes: the shape of each input and output by name; None for a free dimension.
    most_rows: the most rows of a tensor in one call; a tensor without an entry takes any number.
    """

    name: str
    version: str
    device: str
    threads: int
    shapes: "Mapping[str, tuple[int | None, ...]]"
    most_rows: "Mapping[str, int]"

    def run(self, feeds: "Mapping[str, ndarray]") -> "dict[str, ndarray]":
        """The outputs by name, for all inputs by name. May be called from any thread."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...


class EngineModule(Protocol):
    """The file of one engine."""

    ABILITIES: Abilities

    def devices(self) -> tuple[Device, ...]:
        """The devices that it runs on here. If none, raises HostError that says what to install."""

    def start(self, graph: bytes, options: EngineOptions) -> Engine:
        """An engine with the ONNX graph loaded. Raises HostError if the options cannot be met."""
