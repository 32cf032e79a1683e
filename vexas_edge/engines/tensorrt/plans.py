"""What TensorRT plans are built for and found by: sizes of calls, kinds of GPUs, and cache keys.

Nothing here needs TensorRT.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vexas_edge.choices import Precision
from vexas_edge.engines.contract import RowGroup
from vexas_edge.errors import HostError

# A plan takes calls of any size up to the most, and is laid out for the usual one. If
# it is built for fixed numbers, the library writes constants out for every row: 132 MB in place of
# 2 MB for the demonstration's network and calls of 1, 8 and 32 cells.
USUAL_ROWS, MOST_ROWS = 32, 128

# The kinds of GPUs that TensorRT for RTX runs on, by compute capability; one plan serves a kind. A
# plan that includes Turing computes int8 graphs in float32, on every GPU.
KINDS = (("7.5",), ("8.0", "8.6", "8.9", "12.0", "12.1"))
# GPUs newer than those it names run the plans of the second kind.
_NEWEST = (12, 0)

# Raise this number when plans are built in another way (flags, profiles, proof).
_RECIPE = 3


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU of this PC. A capability looks like "8.9"."""

    name: str
    capability: str
    driver: str


@dataclass(frozen=True, kw_only=True)
class PlanFor:
    """What a plan is for, apart from its graph.

    library: the TensorRT that builds and runs it, with its version.
    capabilities: of the GPUs that it runs on; empty for the GPU on which it is built.
    gpu: the GPU on which it is built, for a plan that only runs there.
    """

    library: str
    capabilities: tuple[str, ...] = ()
    gpu: Gpu | None = None


def kind_of(capability: str) -> tuple[str, ...] | None:
    """The kind of a GPU, one of `KINDS`; None if TensorRT for RTX does not run on it."""
    found = next((kind for kind in KINDS if capability in kind), None)
    newer = tuple(map(int, capability.split("."))) >= _NEWEST
    return found or (KINDS[-1] if newer else None)


def blocked_rows(rows: Sequence[RowGroup]) -> RowGroup:
    """The one group of rows that calls may be filled up in.

    Raises:
        HostError: there is no such group, or more than one, or its calls are too large.
    """
    blocked = [group for group in rows if group.block]
    if len(blocked) != 1:
        raise HostError(
            "TensorRT is given calls of one size, and this graph's rows may not be filled up; "
            "use --engine onnxruntime"
        )
    if blocked[0].most > MOST_ROWS:
        raise HostError(
            f"TensorRT's engines take {MOST_ROWS} rows per call at most, and {blocked[0].most} "
            "were asked for; ask for fewer"
        )
    return blocked[0]


def input_shape(name: str, declared: Sequence[int], n_rows: int) -> tuple[int, ...]:
    """An input's shape for a number of rows, from its declared shape, whose first one is free.

    Raises:
        HostError: another dimension is free too.
    """
    if any(size < 1 for size in declared[1:]):
        raise HostError(
            f"TensorRT was given a graph with the input {name} {tuple(declared)}; expected a first "
            "dimension of rows, and fixed others; use --engine onnxruntime"
        )
    return (n_rows, *declared[1:])


def fill(room: NDArray[Any], rows: NDArray[Any]) -> None:
    """Copy an input's rows into the memory of a call and fill the rest with zeros."""
    room[: len(rows)] = rows
    room[len(rows) :] = 0


def n_bytes(name: str, shape: Sequence[int], dtype: DTypeLike) -> int:
    """The size of a tensor's memory in bytes.

    Raises:
        HostError: a dimension is still open, for which TensorRT writes -1.
    """
    if any(size < 1 for size in shape):
        raise HostError(
            f"TensorRT cannot tell how large {name} {tuple(shape)} gets for calls of a known "
            "size; use --engine onnxruntime"
        )
    return prod(shape) * np.dtype(dtype).itemsize


def plan_key(graph: bytes, precision: Precision, wanted: PlanFor) -> Mapping[str, object]:
    """Everything that a plan depends on, and the precision that it was proved to compute in.

    Args:
        graph: the ONNX file.
    """
    gpu = vars(wanted.gpu) if wanted.gpu else {"capabilities": list(wanted.capabilities)}
    return {
        "graph": hashlib.sha256(graph).hexdigest(),
        "precision": precision,
        "recipe": _RECIPE,
        "library": wanted.library,
        **gpu,
    }
