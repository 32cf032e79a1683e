"""Finds the ranges of a graph's activations on cells, in memory that does not grow with them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.execution import session_from
from export.graph import between
from vexas_edge.errors import BundleError

_BINS = 4096

Batches = Callable[[], Iterable[np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Range:
    """The smallest and the largest value of an activation that its integers represent."""

    low: float
    high: float


def extreme_ranges(model: ModelProto, tensors: Sequence[str], batches: Batches) -> dict[str, Range]:
    """Smallest and largest value of each tensor; the graph itself reduces them, batch by batch.

    Args:
        batches: returns an iterable of batches of cells, uint8 (n, H, W, 3), of any size.

    Raises:
        BundleError: a value is not finite; the message names the tensor.
    """
    source = _source(model)
    session = session_from(_with_extremes(model, tensors))
    lows = dict.fromkeys(tensors, np.inf)
    highs = dict.fromkeys(tensors, -np.inf)
    for cells in batches():
        values = iter(session.run(None, {source: cells}))
        for name, low, high, fault in zip(tensors, values, values, values, strict=True):
            if not (np.isfinite(low) and np.isfinite(high) and fault == 0):
                raise BundleError(f"activation {name} is not finite on the calibration cells")
            lows[name] = min(lows[name], float(low))
            highs[name] = max(highs[name], float(high))
    return {name: Range(low=lows[name], high=highs[name]) for name in tensors}


def percentile_ranges(
    model: ModelProto, extremes: Mapping[str, Range], batches: Batches, percentile: float
) -> dict[str, Range]:
    """The range of each tensor that holds `percentile` per cent of its values.

    Values are counted in fixed bins between the extremes, so that neither the batches' size nor
    their order changes a count.

    Args:
        extremes: of the same batches, from `extreme_ranges`.
    """
    tensors = list(extremes)
    counts = {name: np.zeros(_BINS, np.int64) for name in tensors}
    source = _source(model)
    session = session_from(between(model, [source], tensors))
    for cells in batches():
        for name, values in zip(tensors, session.run(None, {source: cells}), strict=True):
            counts[name] += _histogram(values, extremes[name])
    return {name: _inner(extremes[name], counts[name], percentile) for name in tensors}


def _histogram(values: np.ndarray, extremes: Range) -> np.ndarray:
    """The number of values in each bin; much faster than numpy.histogram for this many values."""
    width = max(extremes.high - extremes.low, 1e-30) / _BINS
    bins = ((values - np.float32(extremes.low)) / np.float32(width)).astype(np.int32)
    return np.bincount(np.clip(bins.ravel(), 0, _BINS - 1), minlength=_BINS)


def _inner(extremes: Range, counts: np.ndarray, percentile: float) -> Range:
    outside = (1 - percentile / 100) / 2 * counts.sum()
    edges = np.linspace(extremes.low, extremes.high, _BINS + 1)
    below = np.cumsum(counts)
    above = np.cumsum(counts[::-1])
    low = edges[np.searchsorted(below, outside, side="right")]
    high = edges[::-1][np.searchsorted(above, outside, side="right")]
    return Range(low=float(min(low, high)), high=float(max(low, high)))


def channel_extents(
    model: ModelProto, tensors: Sequence[str], batches: Batches
) -> dict[str, np.ndarray]:
    """The largest magnitude per channel of each tensor (n, C, H, W), float32 (C,)."""
    source = _source(model)
    extents: dict[str, np.ndarray] = dict.fromkeys(tensors, np.zeros((), np.float32))
    session = session_from(_with_extents(model, tensors))
    for cells in batches():
        for name, values in zip(tensors, session.run(None, {source: cells}), strict=True):
            extents[name] = np.maximum(extents[name], values)
    return extents


def _source(model: ModelProto) -> str:
    return model.graph.input[0].name


def _with_extremes(model: ModelProto, tensors: Sequence[str]) -> ModelProto:
    """The graph up to the tensors, with the minimum, the maximum and the fault of each as outputs.

    The fault is 0, or NaN if a value is NaN, which minimum and maximum ignore.
    """
    part = between(model, [_source(model)], tensors)
    del part.graph.output[:]
    for name in tensors:
        for operator in ("ReduceMin", "ReduceMax"):
            _add_output(part, operator, [name], f"{name}/{operator}", [])
        part.graph.node.append(helper.make_node("Sub", [name, name], [f"{name}/zeros"]))
        _add_output(part, "ReduceSum", [f"{name}/zeros"], f"{name}/fault", [])
    return part


def _with_extents(model: ModelProto, tensors: Sequence[str]) -> ModelProto:
    part = between(model, [_source(model)], tensors)
    del part.graph.output[:]
    part.graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3]), "but_channels"))
    for name in tensors:
        magnitude = f"{name}/Abs"
        part.graph.node.append(helper.make_node("Abs", [name], [magnitude], name=magnitude))
        _add_output(part, "ReduceMax", [magnitude, "but_channels"], f"{name}/extent", ["C"])
    return part


def _add_output(
    part: ModelProto, operator: str, inputs: Sequence[str], output: str, shape: Sequence[str]
) -> None:
    node = helper.make_node(operator, inputs, [output], name=output, keepdims=0)
    part.graph.node.append(node)
    part.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))
