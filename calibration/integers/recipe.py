"""The recipe for integers: from a float graph and cells to a graph that any scheme is cut from.

Fold, equalise, find ranges, find moments: these steps look at cells, once. Rounding and writing
look at none, so all integer files of a model come from one calibration.
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

# How values vary together is known from fewer cells than how far they reach.
_CELLS_FOR_MOMENTS = 128


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What calibration found. model: the float graph, folded and equalised.

    ranges: by percentile, then by tensor. moments: by layer, float32 (groups, K + 1, K + 1).
    """

    model: ModelProto
    region: Region
    layers: dict[str, Layer]
    ranges: dict[float | None, dict[str, Range]]
    moments: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class RoundedModel:
    """A model whose layers all have integer weights, to be written with some left in float."""

    calibration: Calibration
    scheme: Scheme
    grids: dict[str, Grid]
    weights: dict[str, IntegerWeights]

    def graph(self, keep_float: Collection[str] = ()) -> ModelProto:
        """The graph in integers, but for the layers in `keep_float`."""
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
    """Everything that integers need to know of the graph and the cells.

    Args:
        batches: gives, each time it is called, what the graph's first input takes, in batches.
        percentiles: how much of each activation ranges are to cover; None means all of it.
        cells_key: what the cells are known by in the cache.
        cache: where ranges of an earlier run are looked for; None means nowhere.

    Raises:
        BundleError: the graph has operators of no known precision, or values that are not finite.
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
        moments=input_moments(model, layers, _first_cells(batches)),
    )


def round_model(found: Calibration, scheme: Scheme) -> RoundedModel:
    """The model's weights as integers of the scheme."""
    grids = grids_from_ranges(found.region, found.ranges[scheme.percentile], scheme)
    weights = {
        name: integer_weights(layer, scheme, grids[layer.node.input[0]], found.moments[name])
        for name, layer in found.layers.items()
    }
    return RoundedModel(calibration=found, scheme=scheme, grids=grids, weights=weights)


def _first_cells(batches: Batches) -> Iterator[np.ndarray]:
    count = 0
    for batch in batches():
        yield batch
        count += len(batch)
        if count >= _CELLS_FOR_MOMENTS:
            return
