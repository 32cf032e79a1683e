"""The mask network learns drawings in seconds, always the same, and says what it cannot read."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from drawn_crops import SIDE_PX, drawn_crops, drawn_network, write_table
from PIL import Image
from safetensors.torch import load_file

from export.backbones import load_weights
from export.unet import UNet, lit_evenly, probabilities_from_crops
from training.commands.isolate import segmenter
from training.mask_network.augmentation import Variation, sources_from_images, vary
from training.mask_network.masks import crops_of, read_masked_image, read_masked_images
from training.mask_network.outlines import outline_distance, score_cell, score_masks, summarize
from training.mask_network.segmenter import SegmenterRecipe, mask_loss, train_segmenter
from vexas_edge.cells.limits import GRID_PX, IsolationLimits
from vexas_edge.errors import InputError, UsageError


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def silent(*_: object) -> None:
    pass


def test_the_network_is_small_and_keeps_the_crop_s_size() -> None:
    network = UNet().eval()
    assert sum(p.numel() for p in network.parameters()) < 500_000
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    probabilities = probabilities_from_crops(network, crops)
    assert probabilities.shape == (2, 3, 64, 64)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_no_lamp_makes_a_difference() -> None:
    light = torch.rand(2, 3, 32, 32) * 0.5
    light[:, :, :8, :8] = 1.0
    lamp = torch.tensor([250.0, 180.0, 120.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(lit_evenly(light * lamp), light)


def test_a_drawn_cell_is_found_after_seconds_of_training() -> None:
    images = drawn_crops(8, first=100)
    masks = probabilities_from_crops(drawn_network(), crops_of(images))
    figures = summarize(score_masks(masks, images, IsolationLimits()))
    assert figures["dice_mean"] > 0.9
    assert figures["cytoplasm_recall"] > 0.9
    assert figures["rejected"] == {}


def test_the_same_seed_gives_the_same_weights() -> None:
    images, recipe = drawn_crops(4), SegmenterRecipe(steps=2, batch=2, seed=3)
    torch.manual_seed(1)
    once = train_segmenter(images, recipe, silent).state_dict()
    torch.manual_seed(2)
    again = train_segmenter(images, recipe, silent).state_dict()
    other = train_segmenter(images, SegmenterRecipe(steps=2, batch=2, seed=4), silent).state_dict()
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not torch.equal(once["last.weight"], other["last.weight"])


def test_training_leaves_the_global_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_segmenter(drawn_crops(2), SegmenterRecipe(steps=1, batch=2), silent)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("wrong", [SegmenterRecipe(steps=0), SegmenterRecipe(batch=1)])
def test_a_recipe_that_cannot_train_is_refused(wrong: SegmenterRecipe) -> None:
    with pytest.raises(UsageError, match="expected at least 1 step of 2 images"):
        train_segmenter(drawn_crops(2), wrong, silent)


def test_the_loss_is_least_where_all_is_right() -> None:
    shares = torch.zeros(1, 3, 8, 8)
    shares[:, 0], shares[:, 0, :4], shares[:, 1, :4] = 1, 0, 1
    right, wrong = 20 * shares, 20 * shares.flip(2)
    assert mask_loss(right, shares) < 1e-4
    assert mask_loss(wrong, shares) > 5


def test_views_are_whole_levels_and_their_classes_add_up() -> None:
    sources = sources_from_images(drawn_crops(6), 96)
    views, shares = vary(sources, Variation(pasted=1.0, jpeg=1.0), generator())
    assert views.shape == shares.shape == (6, 3, GRID_PX, GRID_PX)
    assert views.min() >= 0
    assert views.max() <= 255
    assert torch.equal(views, views.round())
    torch.testing.assert_close(shares.sum(1), torch.ones(6, GRID_PX, GRID_PX))


def test_a_view_without_variation_is_the_image_turned() -> None:
    still = Variation(
        sides=(1.0, 1.0),
        stretch=0,
        shift=0,
        pasted=0,
        mixing=0,
        strength=0,
        nucleus=0,
        speck_density=(0.0, 0.0),
        gamma=0,
        lamp=(1.0, 1.0),
        gradient=0,
        softness=(0.0, 0.0),
        noise=(0.0, 0.0),
        jpeg=0,
        ending=0,
    )
    sources = sources_from_images(drawn_crops(4), GRID_PX)
    views, shares = vary(sources, still, generator())
    true = sources[:, 4:].sum((1, 2, 3))
    torch.testing.assert_close(shares[:, 1:].sum((1, 2, 3)), true, rtol=0.02, atol=0)
    # The darkest pixels are the nucleus's, wherever it came to lie.
    nucleus = shares[:, 2] > 0.99
    slide = shares[:, 0] > 0.99
    assert all(
        views[i, 0][nucleus[i]].mean() < 110 < views[i, 0][slide[i]].mean() for i in range(4)
    )


def test_over_the_edge_of_a_scan_all_is_black_background() -> None:
    sources = sources_from_images(drawn_crops(8), 96)
    variation = Variation(ending=1.0, noise=(0.0, 0.0), jpeg=0)
    views, shares = vary(sources, variation, generator())
    black = views.amax(1) == 0
    assert 0.05 < black.float().mean() < 0.3
    assert (shares[:, 0][black] == 1).all()


def test_the_same_generator_gives_the_same_views() -> None:
    sources = sources_from_images(drawn_crops(4), 96)
    once, again = (vary(sources, Variation(), generator()) for _ in range(2))
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])


def test_scores_are_those_of_the_drawing() -> None:
    image = drawn_crops(1)[0]
    true = image.classes > 0
    perfect = score_cell(true, image)
    assert (perfect.dice, perfect.cytoplasm_recall, perfect.outline_px) == (1, 1, 0)
    nucleus = score_cell(image.classes == 2, image)
    assert nucleus.cytoplasm_recall == 0
    assert nucleus.dice == pytest.approx(2 * 0.36 / 1.36, abs=0.02)
    assert np.isnan(score_cell(np.zeros_like(true), image).outline_px)


def test_outlines_of_squares_lie_a_pixel_apart() -> None:
    small, large = np.zeros((2, 40, 40), bool)
    small[10:30, 10:30] = large[9:31, 9:31] = True
    assert outline_distance(small, large) == pytest.approx(1.0, abs=0.05)
    assert outline_distance(large, large) == 0


def test_a_cell_that_would_be_rejected_is_scored_and_counted() -> None:
    images = drawn_crops(3)
    masks = probabilities_from_crops(drawn_network(), crops_of(images))
    figures = summarize(score_masks(masks, images, IsolationLimits(largest_area=0.02)))
    assert figures["dice_mean"] > 0.9
    assert figures["rejected"] == {"cell_size_implausible": 3}
    nothing = np.zeros((3, 3, GRID_PX, GRID_PX), np.float32)
    nothing[:, 0] = 1
    figures = summarize(score_masks(nothing, images, IsolationLimits()))
    assert figures["dice_mean"] == 0
    assert figures["rejected"] == {"no_cell_found": 3}


def test_the_command_writes_weights_and_says_how_good_they_are(tmp_path: Path) -> None:
    table = write_table(tmp_path / "data", drawn_crops(4), ["fit", "fit", "fit", "judge"])
    out = tmp_path / "weights.safetensors"
    ended = CliRunner().invoke(
        segmenter, [str(table), "-o", str(out), "--steps", "2"], catch_exceptions=False
    )
    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["cells"] == 1
    network = UNet()
    load_weights(network, out)
    expected = train_segmenter(read_masked_images(table)[0], SegmenterRecipe(steps=2), silent)
    weights = load_file(out)
    assert all(torch.equal(weights[k], v) for k, v in expected.state_dict().items())


def test_an_interrupted_training_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.mask_network.segmenter.mask_loss", interrupted)
    table = write_table(tmp_path / "data", drawn_crops(2), ["fit", "fit"])
    out = tmp_path / "weights.safetensors"
    ended = CliRunner().invoke(segmenter, [str(table), "-o", str(out)], standalone_mode=False)
    assert ended.exit_code != 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_without_splits_all_images_are_trained_on(tmp_path: Path) -> None:
    table = write_table(tmp_path, drawn_crops(3), ["fit", "judge", "fit"])
    fit, judged = read_masked_images(table)
    assert ([i.name for i in fit], [i.name for i in judged]) == (["0.png", "2.png"], ["1.png"])
    table.write_text("image,mask\n0.png,mask-0.png\n1.png,mask-1.png\n", encoding="utf-8")
    fit, judged = read_masked_images(table)
    assert (len(fit), judged) == (2, [])


def test_masks_come_back_as_they_were_written(tmp_path: Path) -> None:
    images = drawn_crops(1)
    write_table(tmp_path, images, ["fit"])
    read = read_masked_image(tmp_path / "0.png", tmp_path / "mask-0.png")
    np.testing.assert_array_equal(read.classes, images[0].classes)
    np.testing.assert_array_equal(read.pixels, images[0].pixels)
    assert set(np.unique(read.resized(96).classes)) == {0, 1, 2}


def test_tables_and_masks_that_are_wrong_are_named(tmp_path: Path) -> None:
    table = write_table(tmp_path, drawn_crops(1), ["fit"])
    mask = tmp_path / "mask-0.png"
    with pytest.raises(InputError, match="cannot be read as a CSV"):
        read_masked_images(tmp_path / "none.csv")
    Image.new("L", (SIDE_PX, SIDE_PX), 77).save(mask)
    with pytest.raises(InputError, match=r"mask-0.png has the grey level 77; expected 0"):
        read_masked_images(table)
    Image.new("L", (8, 8)).save(mask)
    with pytest.raises(InputError, match=r"mask-0.png has .* px"):
        read_masked_images(table)
    mask.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"mask-0.png: expected a JPEG"):
        read_masked_images(table)
    mask.unlink()
    with pytest.raises(InputError, match=r"mask-0.png cannot be read: No such file"):
        read_masked_images(table)
    table.write_text("image,split\n0.png,fit\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column 'mask'"):
        read_masked_images(table)
    table.write_text("image,mask,split\n0.png,mask-0.png,judge\n", encoding="utf-8")
    write_table(tmp_path, drawn_crops(1), ["judge"])
    with pytest.raises(InputError, match="names no image to train on"):
        read_masked_images(table)
