"""What a TensorRT engine is built for and found by: its batches, their padding, its cache key.

TensorRT calls a built engine a plan. It is valid for one GPU model, driver and TensorRT version,
and is fastest for batches of a fixed size: the buckets. A call is filled up to the next one, with
black cells and with draws of the first cell, and what came of them is dropped. Nothing here needs
TensorRT.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vexas_edge.engines.contract import Precision
from vexas_edge.errors import HostError

# Rows of draws in each call: as many as scoring checks of a case's first one.
DRAW_ROWS = 64
# The cells of a bundle's self-test, which has to run whatever the canvas is.
_SELF_TEST_CELLS = 4
# Counts up when plans are built otherwise: flags, profiles, proof.
_RECIPE = 1


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """What a plan and its kernels' timings depend on. capability: as in "8.9"."""

    name: str
    capability: str
    driver: str
    tensorrt: str


def buckets_for(cells_a_call: int | None) -> tuple[int, ...]:
    """The batches that a plan is built for, in cells, ascending: each adds minutes to building."""
    return tuple(sorted({1, _SELF_TEST_CELLS, cells_a_call or 1}))


def bucket_of(n_cells: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that takes so many cells.

    Raises:
        HostError: they are more than the largest. They are not split, since the draws of a call may
            name any of its cells.
    """
    for bucket in buckets:
        if n_cells <= bucket:
            return bucket
    raise HostError(
        f"this TensorRT engine was built for {max(buckets)} cells a call at most and was given "
        f"{n_cells}; give it fewer, or use --engine onnxruntime"
    )


def input_shape(name: str, declared: Sequence[int], bucket: int) -> tuple[int, ...]:
    """An input's whole shape in a bucket, from its declared one whose first dimension is free.

    Raises:
        HostError: it is no input of a fused graph.
    """
    rows = {"cells": bucket, "draws": DRAW_ROWS}
    if name not in rows or any(size < 1 for size in declared[1:]):
        raise HostError(
            f"TensorRT was given a graph with the input {name} {tuple(declared)}; it runs fused "
            "graphs, with cells (N, H, W, 3) and draws (A, K), of which only N and A are free"
        )
    return (rows[name], *declared[1:])


def fill(room: NDArray[Any], name: str, rows: NDArray[Any]) -> None:
    """Put an input's rows into the room of a bucket, zeros behind them.

    Raises:
        HostError: there is no room for so many.
    """
    if len(rows) > len(room):
        raise HostError(
            f"this TensorRT engine takes {len(room)} {name} a call at most and was given "
            f"{len(rows)}; give it fewer, or use --engine onnxruntime"
        )
    room[: len(rows)] = rows
    room[len(rows) :] = 0


def without_padding(
    outputs: Mapping[str, NDArray[Any]], n_cells: int, n_draws: int
) -> dict[str, NDArray[Any]]:
    """Copies of a bucket's outputs: of `encodings` the rows of cells, of others those of draws."""
    return {
        name: value[: n_cells if name == "encodings" else n_draws].copy()
        for name, value in outputs.items()
    }


def n_bytes(name: str, shape: Sequence[int], dtype: DTypeLike) -> int:
    """The size of a tensor's memory.

    Raises:
        HostError: a dimension is still open, which TensorRT gives as -1.
    """
    if any(size < 1 for size in shape):
        raise HostError(
            f"TensorRT cannot tell how large {name} {tuple(shape)} gets for batches of a fixed "
            "size; use --engine onnxruntime"
        )
    return prod(shape) * np.dtype(dtype).itemsize


def plan_key(
    graph: bytes, precision: Precision, buckets: Sequence[int], gpu: Gpu
) -> dict[str, object]:
    """All that a plan depends on, and the precision that was proved of it.

    Args:
        graph: the ONNX file.
    """
    return {
        "graph": hashlib.sha256(graph).hexdigest(),
        "precision": precision,
        "buckets": list(buckets),
        "draw_rows": DRAW_ROWS,
        "recipe": _RECIPE,
        **timings_key(gpu),
    }


def timings_key(gpu: Gpu) -> dict[str, object]:
    """All that the timings of kernels depend on; plans of other graphs share them."""
    return asdict(gpu)
