"""Which integers stand for a tensor's values: one grid a tensor, shared where values only move."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibration.integers.ranges import Range
from calibration.region import Region

# Operators that only pick, move, join or enlarge values: what they take and give is on one grid, so
# that nothing is rounded twice.
PASSING = ("MaxPool", "Concat", "Resize", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")

# A tensor of zeros still needs a scale.
_SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How numbers become integers.

    signed: activations are int8, symmetric, zero-point 0, and biases stay float, as TensorRT
    wants them; else uint8 with a zero-point. weight_bits: 7 where 8 could saturate (CPUs without
    VNNI). percentile: how much of each activation its grid covers; None means all of it.
    """

    signed: bool = False
    weight_bits: int = 8
    percentile: float | None = None


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One tensor's integers: value = scale * (integer - zero_point)."""

    scale: float
    zero_point: int


def grid_from_range(extent: Range, scheme: Scheme) -> Grid:
    """The grid that covers a range and holds zero exactly."""
    low, high = min(extent.low, 0.0), max(extent.high, 0.0)
    if scheme.signed:
        return Grid(scale=max(-low, high, _SMALLEST) / 127, zero_point=0)
    scale = max(high - low, _SMALLEST) / 255
    return Grid(scale=scale, zero_point=int(np.clip(round(-low / scale), 0, 255)))


def grids_from_ranges(
    region: Region, ranges: Mapping[str, Range], scheme: Scheme
) -> dict[str, Grid]:
    """The grid of each of the region's tensors; those that values only move between share one."""
    group = {name: name for name in region.tensors()}
    for node in region.nodes:
        if node.op_type in PASSING:
            joined = {group[name] for name in (*node.input, *node.output) if name in group}
            first = min(joined)
            group = {name: first if g in joined else g for name, g in group.items()}
    extents: dict[str, Range] = {}
    for name, first in group.items():
        extents[first] = _union(extents.get(first, ranges[name]), ranges[name])
    return {name: grid_from_range(extents[first], scheme) for name, first in group.items()}


def _union(one: Range, other: Range) -> Range:
    return Range(low=min(one.low, other.low), high=max(one.high, other.high))
