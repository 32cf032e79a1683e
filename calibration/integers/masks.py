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

# One file is for all CPUs: without VNNI, weights of 8 bits may saturate.
_SCHEME = Scheme(weight_bits=7)

# Background's place among the classes.
_BACKGROUND = 0


@dataclass(frozen=True, kw_only=True)
class MaskAgreement:
    """Integer masks beside float ones, over crops.

    dice_mean, dice_p1: of all that is cell, 1 where both find the same, mean and 1st percentile of
    crops; same_class: share of pixels of the same class.
    """

    dice_mean: float
    dice_p1: float
    same_class: float
    crops: int

    def figures(self) -> dict[str, float]:
        """For a manifest or a line of results."""
        return asdict(self)


def integer_masks(model: ModelProto, batches: Batches) -> ModelProto:
    """The mask network of `export.mask_graph` in integers, light and Softmax in float.


    Args:
        batches: gives, each time it is called, crops uint8 (n, S, S, 3) in batches.

    Raises:
        BundleError: it is no mask network, or a layer does not run in integers here.
    """
    found = calibrate(model, batches, region_of=mask_region)
    graph = round_model(found, _SCHEME).graph()
    census = executed_census(graph, {CROPS: next(iter(batches()))[:1]})
    if census.float_layers:
        raise BundleError(
            f"the integer mask network would still compute {', '.join(census.float_layers[:5])} in "
            "float32: it is not what it says"
        )
    return graph


def mask_agreement(reference: ModelProto, other: ModelProto, crops: np.ndarray) -> MaskAgreement:
    """How alike two mask networks see these crops, uint8 (N, S, S, 3)."""
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
    """1 where both are empty."""
    both = one.sum() + two.sum()
    return float(2 * (one & two).sum() / both) if both else 1.0
