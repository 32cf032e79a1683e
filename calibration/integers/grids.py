"""Chooses the grid of integers of each tensor, shared by tensors between which values only move."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibration.integers.ranges import Range
from calibration.region import Region

# Operators that only pick, move, join or enlarge values: their inputs and outputs share one grid,
# so that nothing is rounded twice.
PASSING = ("MaxPool", "Concat", "Resize", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")

# A tensor of zeros still needs a scale.
_SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How numbers become integers.

    signed: if true, activations are int8, symmetric, with zero-point 0, and biases stay float, as
        TensorRT requires; else activations are uint8 with a zero-point.
    weight_bits: 7 if 8 could saturate, as on CPUs without VNNI.
    percentile: per cent of each activation's values that its grid covers; None for all values.
    """

    signed: bool = False
    weight_bits: int = 8
    percentile: float | None = None


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One tensor's integers: value = scale * (integer - zero_point)."""

    scale: float
    zero_point: int

    def ends(self) -> tuple[float, float]:
        """The values of 0 and of 255, in the float32 in which engines compute them."""
        scale = np.float32(self.scale)
        low, high = (scale * np.float32(end - self.zero_point) for end in (0, 255))
        return float(low), float(high)


def grid_from_range(extent: Range, scheme: Scheme) -> Grid:
    """The grid that covers a range and represents zero exactly.

    >>> grid_from_range(Range(low=-1.0, high=254.0), Scheme())
    Grid(scale=1.0, zero_point=1)
    """
    low, high = min(extent.low, 0.0), max(extent.high, 0.0)
    if scheme.signed:
        return Grid(scale=max(-low, high, _SMALLEST) / 127, zero_point=0)
    scale = max(high - low, _SMALLEST) / 255
    return Grid(scale=scale, zero_point=int(np.clip(round(-low / scale), 0, 255)))


def grids_from_ranges(
    region: Region, ranges: Mapping[str, Range], scheme: Scheme
) -> dict[str, Grid]:
    """The grid of each of the region's tensors; tensors between which values only move share it."""
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
