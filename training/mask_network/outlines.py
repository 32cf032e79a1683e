"""Scores how well found cells agree with the masks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from training.mask_network.masks import MaskedImage
from vexas_edge.cells.isolation import check_plausible, find_cell
from vexas_edge.cells.limits import IsolationLimits
from vexas_edge.errors import CellError

Mask = NDArray[np.bool_]  # (H, W)


@dataclass(frozen=True, kw_only=True)
class CellScore:
    """How well one found cell agrees with its mask.

    dice: of the whole cell.
    cytoplasm_recall: share of the true cytoplasm's pixels inside the found cell; nan if the mask
        has no cytoplasm.
    outline_px: mean distance between both outlines, both ways, in px of the image; nan if no cell
        was found.
    reason: why the cell would be rejected, if it would.
    """

    dice: float
    cytoplasm_recall: float
    outline_px: float
    reason: str | None = None


def score_masks(
    masks: Iterable[np.ndarray], images: Sequence[MaskedImage], limits: IsolationLimits
) -> list[CellScore]:
    """The score of each image; a found cell is scored even if it would be rejected.

    Args:
        masks: probabilities float32 (3, GRID_PX, GRID_PX) of each image.
    """
    return [_score(mask, image, limits) for mask, image in zip(masks, images, strict=True)]


def score_cell(found: Mask, image: MaskedImage, reason: str | None = None) -> CellScore:
    """How well `found`, bool (H, W), covers the image's cell."""
    true, cytoplasm = image.classes > 0, image.classes == 1
    return CellScore(
        dice=float(2 * (found & true).sum() / max(found.sum() + true.sum(), 1)),
        cytoplasm_recall=float(found[cytoplasm].mean()) if cytoplasm.any() else np.nan,
        outline_px=outline_distance(found, true),
        reason=reason,
    )


def outline_distance(one: Mask, other: Mask) -> float:
    """Mean distance from each outline to the other, in px; nan if a mask is empty."""
    if not (one.any() and other.any()):
        return np.nan
    outlines = [mask & ~binary_erosion(mask) for mask in (one, other)]
    to_one, to_other = (distance_transform_edt(~outline) for outline in outlines)
    return float(np.mean([to_other[outlines[0]].mean(), to_one[outlines[1]].mean()]))


def summarize(scores: Sequence[CellScore]) -> dict[str, Any]:
    """Figures over all scores, by name."""
    dices = [score.dice for score in scores]
    reasons = [score.reason for score in scores if score.reason]
    return {
        "cells": len(scores),
        "dice_mean": _rounded(np.mean(dices)),
        "dice_p10": _rounded(np.percentile(dices, 10)),
        "cytoplasm_recall": _known_mean([score.cytoplasm_recall for score in scores]),
        "outline_px": _known_mean([score.outline_px for score in scores]),
        "rejected_share": _rounded(len(reasons) / len(scores)),
        "rejected": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
    }


def _score(mask: np.ndarray, image: MaskedImage, limits: IsolationLimits) -> CellScore:
    try:
        cell = find_cell(mask, image.classes.shape)
    except CellError as error:
        return score_cell(np.zeros(image.classes.shape, bool), image, error.reason)
    try:
        check_plausible(cell, limits)
    except CellError as error:
        return score_cell(cell.mask, image, error.reason)
    return score_cell(cell.mask, image)


def _known_mean(values: list[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return _rounded(np.mean(known)) if known else None


def _rounded(value: SupportsFloat) -> float:
    return round(float(value), 4)
