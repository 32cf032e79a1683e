"""The recipe for integer graphs: one calibration on cells, from which every scheme is written.

Calibrating means to fold, to equalise, and to find ranges and moments; these steps look at cells.
Rounding and writing do not, so all integer graphs of a model come from one calibration.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from onnx import ModelProto

from calibration.integers.equalisation import equalise_channels
from calibration.integers.folding import fold_for_integers
from calibration.integers.graph import quantize_int8
from calibration.integers.grids import Grid, Scheme, grids_from_ranges
from calibration.integers.layers import Layer, weighted_layers
from calibration.integers.moments import input_moments
from calibration.integers.range_cache import cached_ranges
from calibration.integers.ranges import Batches, Range, extreme_ranges, percentile_ranges
from calibration.integers.rounding import IntegerWeights, integer_weights
from calibration.region import Region, encoder_region

# Moments need fewer cells than ranges do.
_CELLS_FOR_MOMENTS = 128


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The results of calibration.

    model: the float graph, folded and equalised.
    region: the part of it that is to run in integers.
    layers: the region's layers with weights, by name.
    ranges: of activations, by percentile, then by tensor.
    moments: by layer, float32 (groups, K + 1, K + 1).
    """

    model: ModelProto
    region: Region
    layers: dict[str, Layer]
    ranges: dict[float | None, dict[str, Range]]
    moments: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class RoundedModel:
    """A model with integer weights for all its layers, some of which may be written in float."""

    calibration: Calibration
    scheme: Scheme
    grids: dict[str, Grid]
    weights: dict[str, IntegerWeights]

    def graph(self, keep_float: Collection[str] = ()) -> ModelProto:
        """The graph in integers, except for the layers in `keep_float`."""
        found = self.calibration
        weights = {name: w for name, w in self.weights.items() if name not in keep_float}
        return quantize_int8(found.model, found.region, self.scheme, self.grids, weights)


def calibrate(
    model: ModelProto,
    batches: Batches,
    *,
    region_of: Callable[[ModelProto], Region] = encoder_region,
    percentiles: Iterable[float | None] = (None,),
    cells_key: str = "",
    cache: Path | None = None,
) -> Calibration:
    """Fold and equalise the graph, and find its ranges and moments on the cells.

    Args:
        batches: returns an iterable of batches for the graph's first input; called several times.
        region_of: finds the part that is to run in integers.
        percentiles: per cent of each activation's values that ranges cover; None means all values.
        cells_key: a hash of the cells, for the cache.
        cache: the folder in which ranges are kept; None means nowhere.

    Raises:
        BundleError: the graph has operators that cannot be converted, or values that are not
            finite.
    """
    model = fold_for_integers(model, region_of(model))
    model = equalise_channels(model, region_of(model), batches)
    region = region_of(model)
    layers = weighted_layers(model, region)

    find = partial(extreme_ranges, model, region.tensors(), batches)
    extremes = cached_ranges(cache, model, cells_key, find)
    ranges: dict[float | None, dict[str, Range]] = {None: extremes}
    for percentile in {percentile for percentile in percentiles if percentile is not None}:
        find = partial(percentile_ranges, model, extremes, batches, percentile)
        ranges[percentile] = cached_ranges(cache, model, f"{cells_key} {percentile}", find)
    return Calibration(
        model=model,
        region=region,
        layers=layers,
        ranges=ranges,
        moments=input_moments(model, layers, first_cells(batches)),
    )


def round_model(found: Calibration, scheme: Scheme) -> RoundedModel:
    """The model with its weights rounded to the scheme's integers."""
    grids = grids_from_ranges(found.region, found.ranges[scheme.percentile], scheme)
    weights = {
        name: integer_weights(layer, scheme, grids[layer.node.input[0]], found.moments[name])
        for name, layer in found.layers.items()
    }
    return RoundedModel(calibration=found, scheme=scheme, grids=grids, weights=weights)


def first_cells(batches: Batches) -> Iterator[np.ndarray]:
    """The first batches, which are enough for means and moments."""
    count = 0
    for batch in batches():
        yield batch
        count += len(batch)
        if count >= _CELLS_FOR_MOMENTS:
            return
