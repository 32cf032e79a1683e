"""What TensorRT plans are built for and found by: batch sizes, padding and cache keys.

TensorRT calls a built engine a plan. It is valid for one GPU model, driver and TensorRT version,
and is fastest for batches of fixed sizes, the buckets. A call is filled up with zeros to the next
bucket, and the results of the zeros are dropped. Nothing here needs TensorRT.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vexas_edge.choices import Precision
from vexas_edge.engines.contract import RowGroup
from vexas_edge.errors import HostError

# Raise this number when plans are built in another way (flags, profiles, proof).
_RECIPE = 2


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """What a plan and the timings of its kernels depend on. A capability looks like "8.9"."""

    name: str
    capability: str
    driver: str
    tensorrt: str


def buckets_for(rows: Sequence[RowGroup]) -> tuple[int, ...]:
    """The batch sizes that a plan is built for, ascending; each adds minutes to building.

    Raises:
        HostError: nothing says how many rows will come.
    """
    blocked = _blocked(rows)
    return tuple(sorted({1, blocked.block or 1, blocked.most}))


def most_rows(rows: Sequence[RowGroup]) -> dict[str, int]:
    """The most rows of each tensor in one call."""
    return {name: group.most for group in rows for name in group.tensors}


def bucket_of(n_rows: Mapping[str, int], rows: Sequence[RowGroup], buckets: Sequence[int]) -> int:
    """The smallest bucket that takes a call.

    Args:
        n_rows: how many rows each input has in the call.

    Raises:
        HostError: the call is larger than the largest bucket. It is not split, since other inputs
            may refer to any of its rows.
    """
    tensors = _blocked(rows).tensors
    wanted = max((n for name, n in n_rows.items() if name in tensors), default=1)
    for bucket in buckets:
        if wanted <= bucket:
            return bucket
    raise HostError(
        f"this TensorRT engine was built for {max(buckets)} rows per call at most and was given "
        f"{wanted}; give it fewer, or use --engine onnxruntime"
    )


def input_shape(
    name: str, declared: Sequence[int], bucket: int, rows: Sequence[RowGroup]
) -> tuple[int, ...]:
    """An input's shape in a bucket, from its declared shape, whose first dimension is free.

    Raises:
        HostError: nothing says how many rows the input has, or another dimension is free too.
    """
    group = next((group for group in rows if name in group.tensors), None)
    if group is None or any(size < 1 for size in declared[1:]):
        raise HostError(
            f"TensorRT was given a graph with the input {name} {tuple(declared)}; expected a first "
            "dimension of rows whose number is known, and fixed others; use --engine onnxruntime"
        )
    return (bucket if group.block else group.most, *declared[1:])


def _blocked(rows: Sequence[RowGroup]) -> RowGroup:
    """The one group of tensors whose rows form batches."""
    blocked = [group for group in rows if group.block]
    if len(blocked) != 1:
        raise HostError(
            "TensorRT wants batches of a fixed size, and this graph's rows may not be filled up; "
            "use --engine onnxruntime"
        )
    return blocked[0]


def fill(room: NDArray[Any], name: str, rows: NDArray[Any]) -> None:
    """Copy an input's rows into a bucket's memory and fill the rest with zeros.

    Raises:
        HostError: there are more rows than the bucket holds.
    """
    if len(rows) > len(room):
        raise HostError(
            f"this TensorRT engine takes {len(room)} {name} per call at most and was given "
            f"{len(rows)}; give it fewer, or use --engine onnxruntime"
        )
    room[: len(rows)] = rows
    room[len(rows) :] = 0


def without_padding(
    outputs: Mapping[str, NDArray[Any]], n_rows: Mapping[str, int], rows: Sequence[RowGroup]
) -> dict[str, NDArray[Any]]:
    """Copies of a bucket's outputs, each with as many rows as the inputs of its group had.

    Args:
        n_rows: how many rows each input had in the call.
    """
    given = {
        name: count
        for group in rows
        for count in [n_rows[i] for i in n_rows if i in group.tensors][:1]
        for name in group.tensors
    }
    return {name: value[: given.get(name, len(value))].copy() for name, value in outputs.items()}


def n_bytes(name: str, shape: Sequence[int], dtype: DTypeLike) -> int:
    """The size of a tensor's memory in bytes.

    Raises:
        HostError: a dimension is still open, for which TensorRT writes -1.
    """
    if any(size < 1 for size in shape):
        raise HostError(
            f"TensorRT cannot tell how large {name} {tuple(shape)} gets for batches of a fixed "
            "size; use --engine onnxruntime"
        )
    return prod(shape) * np.dtype(dtype).itemsize


def plan_key(
    graph: bytes, precision: Precision, rows: Sequence[RowGroup], gpu: Gpu
) -> dict[str, object]:
    """Everything that a plan depends on, and the precision that it was proved to compute in.

    Args:
        graph: the ONNX file.
    """
    return {
        "graph": hashlib.sha256(graph).hexdigest(),
        "precision": precision,
        "rows": sorted([sorted(group.tensors), group.most, group.block] for group in rows),
        "recipe": _RECIPE,
        **timings_key(gpu),
    }


def timings_key(gpu: Gpu) -> dict[str, object]:
    """Everything that the timings of kernels depend on; the plans of all graphs share them."""
    return asdict(gpu)
