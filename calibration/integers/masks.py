"""The mask network in integers, and how well its masks agree with the float network's."""

from dataclasses import asdict, dataclass

import numpy as np
from onnx import ModelProto

from calibration.integers.grids import Scheme
from calibration.integers.ranges import Batches
from calibration.integers.recipe import calibrate, round_model
from calibration.proof.census import executed_census
from calibration.region import mask_region
from export.execution import run_in_parts
from vexas_edge.bundle.contract import CROPS, MASKS
from vexas_edge.errors import BundleError

# 7 bits, since the one file must suit all CPUs, and without VNNI 8-bit weights may saturate.
_SCHEME = Scheme(weight_bits=7)

# The index of the background among the classes.
_BACKGROUND = 0


@dataclass(frozen=True, kw_only=True)
class MaskAgreement:
    """How well two mask networks agree.

    dice_mean, dice_p1: Dice of the whole cell, 1 if both find the same; mean and 1st percentile
        over crops.
    same_class: share of pixels to which both give the same class.
    crops: their number.
    """

    dice_mean: float
    dice_p1: float
    same_class: float
    crops: int

    def figures(self) -> dict[str, float]:
        """The figures by name, for a manifest or a line of results."""
        return asdict(self)


def integer_masks(model: ModelProto, batches: Batches) -> ModelProto:
    """The mask network of `export.mask_graph` in integers, with light and Softmax in float.

    Args:
        batches: returns an iterable of batches of crops, uint8 (n, S, S, 3); called several times.

    Raises:
        BundleError: it is not a mask network, or a layer does not run in integers here.
    """
    found = calibrate(model, batches, region_of=mask_region)
    graph = round_model(found, _SCHEME).graph()
    census = executed_census(graph, {CROPS: next(iter(batches()))[:1]})
    if census.float_layers:
        raise BundleError(
            "the integer mask network would still compute layers in float32: "
            f"{', '.join(census.float_layers[:5])}"
        )
    return graph


def mask_agreement(reference: ModelProto, other: ModelProto, crops: np.ndarray) -> MaskAgreement:
    """How well two mask networks agree on these crops, uint8 (N, S, S, 3)."""
    masks = [run_in_parts(model, crops)[MASKS] for model in (reference, other)]
    one, two = (mask[:, _BACKGROUND] < 0.5 for mask in masks)
    dices = [_dice(*cells) for cells in zip(one, two, strict=True)]
    classes = [mask.argmax(axis=1) for mask in masks]
    return MaskAgreement(
        dice_mean=float(np.mean(dices)),
        dice_p1=float(np.percentile(dices, 1)),
        same_class=float((classes[0] == classes[1]).mean()),
        crops=len(crops),
    )


def _dice(one: np.ndarray, two: np.ndarray) -> float:
    """The Dice coefficient of two masks; 1 if both are empty."""
    both = one.sum() + two.sum()
    return float(2 * (one & two).sum() / both) if both else 1.0
