"""The method without learning finds what it is made for: a nucleus, and what is no red cell."""

import numpy as np
import pytest
from classical_masks import ClassicalRules, masks_from_crop
from drawn_crops import drawn_crops

from training.mask_network.masks import crops_of
from training.mask_network.outlines import score_masks, summarize
from vexas_edge.cells.limits import GRID_PX, IsolationLimits


def test_drawn_cells_are_outlined_beside_red_cells() -> None:
    images = drawn_crops(4)
    masks = [masks_from_crop(crop) for crop in crops_of(images)]
    figures = summarize(score_masks(masks, images, IsolationLimits()))
    assert figures["dice_mean"] > 0.98
    assert figures["cytoplasm_recall"] > 0.97


def test_each_pixel_has_one_class() -> None:
    mask = masks_from_crop(crops_of(drawn_crops(1))[0])
    assert mask.dtype == np.float32
    assert mask.shape == (3, GRID_PX, GRID_PX)
    np.testing.assert_array_equal(mask.sum(axis=0), 1)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_where_nothing_is_seen_nothing_is_found(level: int) -> None:
    mask = masks_from_crop(np.full((GRID_PX, GRID_PX, 3), level, np.uint8))
    assert mask[0].all()


def test_noise_alone_breaks_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (GRID_PX, GRID_PX, 3), dtype=np.uint8)
    np.testing.assert_array_equal(masks_from_crop(noise).sum(axis=0), 1)


def test_rules_decide() -> None:
    crop = crops_of(drawn_crops(1))[0]
    narrow = masks_from_crop(crop, ClassicalRules(cell_up_to=0.1))
    assert narrow[1].sum() < masks_from_crop(crop)[1].sum()
