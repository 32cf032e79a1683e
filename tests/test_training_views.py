"""Views keep a cell's pixels, and show black where there is none."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from training.pretraining.cell_stack import CellStack
from training.pretraining.views import ViewOptions, draw_numbers, views_from_numbers
from vexas_edge.cells.canvas import place_on_canvas
from vexas_edge.errors import UsageError

STILL = ViewOptions(crop_px=12, flip=0, turn_deg=0)


def stack(*images: np.ndarray, side: int | None = None) -> CellStack:
    side = side or max(max(image.shape[:2]) for image in images)
    n = len(images)
    return CellStack(
        pixels=torch.from_numpy(np.stack([place_on_canvas(i, side, "crop") for i in images])),
        sizes=torch.tensor([image.shape[:2] for image in images]),
        patients=("P",) * n,
        samples=("S",) * n,
        labels=("L",) * n,
        identities=tuple(bytes([i]) * 32 for i in range(n)),
    )


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8)


def draw_views(cells: CellStack, rows: Tensor, options: ViewOptions, draw: Generator) -> Tensor:
    numbers = draw_numbers(cells, rows, options, draw)
    return views_from_numbers(cells.pixels[rows], numbers, options)


def views_of(cells: CellStack, options: ViewOptions, seed: int = 0, times: int = 1) -> Tensor:
    """uint8-valued views of the first cell, as (n, H, W, 3)."""
    rows = torch.zeros(times, dtype=torch.int64)
    draw = torch.Generator().manual_seed(seed)
    return draw_views(cells, rows, options, draw).permute(0, 2, 3, 1)


@pytest.mark.parametrize(("height", "width"), [(12, 12), (9, 12), (5, 8), (7, 7), (6, 11)])
def test_a_smaller_cell_is_padded_with_black_as_the_edge_does_it(height: int, width: int) -> None:
    cell = image(height, width)
    (view,) = views_of(stack(cell, side=17), STILL)
    # The crop's margin that cannot be halved is larger at the bottom and right, as on the canvas.
    expected = place_on_canvas(cell, 12, "crop").astype(np.float32)
    np.testing.assert_allclose(view, expected, atol=2e-3)
    assert (view.numpy()[expected == 0] == 0).all()


def test_every_crop_is_a_part_of_the_cell_and_all_places_come_up() -> None:
    cell = image(14, 15)
    views = views_of(stack(cell, side=20), STILL, times=200).numpy()
    parts = {cell[r : r + 12, c : c + 12].tobytes(): (r, c) for r in range(3) for c in range(4)}
    met = [parts[view.round().astype(np.uint8).tobytes()] for view in views]
    assert set(met) == set(parts.values())


@pytest.mark.parametrize(("height", "width"), [(12, 12), (9, 9), (8, 12)])
def test_flips_keep_every_pixel_and_all_four_ways_come_up(height: int, width: int) -> None:
    cell = image(height, width)
    options = ViewOptions(crop_px=12, turn_deg=0)
    ways = {
        place_on_canvas(np.ascontiguousarray(way), 12, "crop").tobytes()
        for way in (cell, cell[::-1], cell[:, ::-1], cell[::-1, ::-1])
    }
    views = views_of(stack(cell), options, times=60).numpy()
    assert {view.round().astype(np.uint8).tobytes() for view in views} == ways


@pytest.mark.parametrize(("drawn", "turns"), [(1.0, -1), (0.0, 1)])
def test_a_turn_by_90_degrees_keeps_every_pixel(
    monkeypatch: pytest.MonkeyPatch, drawn: float, turns: int
) -> None:
    # The largest turn either way: with random numbers at their ends, a quarter turn.
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, drawn))
    cell = image(12, 12)
    (view,) = views_of(stack(cell), ViewOptions(crop_px=12, flip=0, turn_deg=90))
    np.testing.assert_allclose(view, np.rot90(cell, turns), atol=0.02)


def test_a_turned_cell_stays_within_its_own_image_and_its_middle_stays_put() -> None:
    cell = image(9, 9)
    cell[4, 4] = (200, 100, 50)
    views = views_of(stack(cell, side=31), ViewOptions(crop_px=21), times=50).numpy()
    outside = np.ones((21, 21), bool)
    outside[6:15, 6:15] = False
    assert (views[:, outside] == 0).all()
    np.testing.assert_allclose(views[:, 10, 10], np.tile([200, 100, 50], (50, 1)), atol=0.01)


def test_views_are_those_of_their_seed_and_of_their_own_cell() -> None:
    cells = stack(image(10, 10, 1), image(14, 11, 2))
    options = ViewOptions(crop_px=8, jitter=0.3, grey=0.5)
    again = [views_of(cells, options, seed=5, times=4) for _ in range(2)]
    assert torch.equal(*again)
    assert not torch.equal(again[0], views_of(cells, options, seed=6, times=4))
    plain = draw_views(cells, torch.tensor([1, 0]), STILL, torch.Generator().manual_seed(0))
    alone = draw_views(stack(image(10, 10, 1)), torch.tensor([0]), STILL, torch.Generator())
    np.testing.assert_allclose(plain[1], alone[0], atol=2e-3)


def test_jitter_changes_stain_but_neither_black_nor_white() -> None:
    cell = np.zeros((8, 8, 3), np.uint8)
    cell[2:6] = 100
    cell[6:] = 255
    options = ViewOptions(crop_px=8, flip=0, turn_deg=0, jitter=0.4)
    views = views_of(stack(cell), options, times=300).numpy()
    assert (views[:, :2] == 0).all()
    np.testing.assert_allclose(views[:, 6:], 255, atol=1e-3)
    strength = np.log(views[:, 3, 3] / 255) / np.log(100 / 255)
    spread = np.log(strength).std(0)
    np.testing.assert_allclose(spread, 0.4, atol=0.05)
    between = np.corrcoef(np.log(strength).T)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(between, 0.5, atol=0.12)  # half of it is common to all colours


def test_grey_views_have_no_colour() -> None:
    views = views_of(stack(image(8, 8)), ViewOptions(crop_px=8, grey=1.0)).numpy()
    assert np.ptp(views, axis=3).max() == 0


def test_views_differ_in_magnification() -> None:
    disc = np.full((41, 41, 3), 200, np.uint8)
    rows, columns = np.ogrid[:41, :41]
    disc[(rows - 20) ** 2 + (columns - 20) ** 2 < 8**2] = 40
    options = ViewOptions(crop_px=41, flip=0, turn_deg=0, scale=0.2)
    views = views_of(stack(disc, side=41), options, times=200).numpy()
    areas = ((views[..., 0] < 120) & (views[..., 0] > 1)).sum((1, 2))
    spread = np.log(areas / (np.pi * 64)).std() / 2  # an area goes with the square
    assert spread == pytest.approx(0.2, rel=0.2)


def test_views_are_blurred_up_to_the_largest_blur_and_keep_their_light() -> None:
    point = np.zeros((31, 31, 3), np.uint8)
    point[15, 15] = 255
    options = ViewOptions(crop_px=31, flip=0, turn_deg=0, blur_px=2.0)
    views = views_of(stack(point, side=31), options, times=60).double()
    assert views.sum((1, 2, 3)).numpy() == pytest.approx(3 * 255, rel=1e-5)
    away = torch.arange(-15, 16, dtype=torch.float64)
    spreads = ((views[..., 0].sum(1) * away**2).sum(1) / 255).sqrt()
    assert 0 <= spreads.min() < 0.3
    assert 1.7 < spreads.max() <= 2.0


def test_views_lie_near_the_middle_if_they_must() -> None:
    rows, columns = np.mgrid[:31, :31]
    places = np.stack([rows, columns, rows * 0], -1).astype(np.uint8)
    for shift in (0, 3, 99):
        options = ViewOptions(crop_px=21, flip=0, turn_deg=0, shift_px=shift)
        corners = views_of(stack(places, side=31), options, times=300)[:, 0, 0, :2].round()
        least, most = max(0, 5 - shift), min(10, 5 + shift)
        assert corners.unique().tolist() == list(range(least, most + 1))


def test_options_that_make_no_views_are_refused() -> None:
    sizes = ({"crop_px": 0}, {"jitter": -0.1}, {"scale": -1}, {"blur_px": -1}, {"shift_px": -1})
    for wrong in (*sizes, {"flip": 1.5}, {"turn_deg": 181}, {"grey": 2}):
        with pytest.raises(UsageError, match="views cannot be made with"):
            ViewOptions(**wrong)
