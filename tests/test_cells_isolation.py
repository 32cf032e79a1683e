"""From the mask network's probabilities to one cell on black, on masks that are drawn here."""

import numpy as np
import pytest
from PIL import Image

from vexas_edge.cells.components import fill_holes, label_components
from vexas_edge.cells.isolation import (
    check_plausible,
    cut_out,
    find_cell,
    isolate_cell,
    resize_for_isolation,
)
from vexas_edge.cells.limits import GRID_PX, IsolationLimits
from vexas_edge.errors import CellError

LIMITS = IsolationLimits()
ROWS, COLUMNS = np.mgrid[:GRID_PX, :GRID_PX]
CENTRE = (GRID_PX - 1) / 2


def disc(row: float = CENTRE, column: float = CENTRE, radius: float = 24) -> np.ndarray:
    """A disc on the grid, its edge half a pixel soft: float32, 0 to 1."""
    distance = np.hypot(ROWS - row, COLUMNS - column)
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)


def masks(cell: np.ndarray, nucleus: np.ndarray) -> np.ndarray:
    """What the network would give: float32 (3, GRID_PX, GRID_PX)."""
    nucleus = np.minimum(nucleus, cell)
    return np.stack([1 - cell, cell - nucleus, nucleus])


def whole_cell(row: float = CENTRE, column: float = CENTRE, radius: float = 24) -> np.ndarray:
    return masks(disc(row, column, radius), disc(row, column, radius / 2))


def joined(*cells: np.ndarray) -> np.ndarray:
    """Several cells on one crop."""
    inside = np.max([1 - cell[0] for cell in cells], axis=0)
    return masks(inside, np.max([cell[2] for cell in cells], axis=0))


def reason_of(probabilities: np.ndarray, limits: IsolationLimits = LIMITS) -> str:
    pixels = np.full((GRID_PX, GRID_PX, 3), 9, np.uint8)
    with pytest.raises(CellError) as refused:
        isolate_cell(probabilities, pixels, limits)
    assert "\n" not in str(refused.value)
    return refused.value.reason


def flooded(mask: np.ndarray) -> np.ndarray:
    """Components by flooding, pixel by pixel: slow, and plainly right."""
    labels = np.zeros(mask.shape, int)
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        label, left = labels.max() + 1, [start]
        while left:
            row, column = left.pop()
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
            if inside and mask[row, column] and not labels[row, column]:
                labels[row, column] = label
                left += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return labels


@pytest.mark.parametrize("share", [0.0, 0.3, 0.55, 0.8, 1.0])
def test_components_are_those_that_flooding_finds(share: float) -> None:
    mask = np.random.default_rng(0).random((31, 40)) < share
    np.testing.assert_array_equal(label_components(mask), flooded(mask))


def test_components_do_not_join_over_a_row_s_end() -> None:
    mask = np.array([[0, 0, 1], [1, 0, 0]], bool)
    assert label_components(mask).tolist() == [[0, 0, 1], [2, 0, 0]]


def test_a_spiral_is_one_component() -> None:
    spiral = np.array([[1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]], bool)
    np.testing.assert_array_equal(label_components(spiral), spiral.astype(int))


def test_holes_are_filled_and_bays_are_not() -> None:
    ring = np.array([[0, 1, 1, 1], [0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 1, 0]], bool)
    expected = ring.copy()
    expected[1, 2] = True
    np.testing.assert_array_equal(fill_holes(ring), expected)
    ring[0, 2] = False
    np.testing.assert_array_equal(fill_holes(ring), ring)


def test_the_cell_s_figures_are_those_of_the_drawing() -> None:
    cell = find_cell(whole_cell(), (GRID_PX, GRID_PX))
    assert cell.area == pytest.approx(np.pi * 24**2 / GRID_PX**2, rel=0.01)
    assert cell.nucleus_share == pytest.approx(0.25, abs=0.01)
    assert cell.border_contact == 0
    assert cell.nuclei_apart == 0


@pytest.mark.parametrize("shape", [(128, 128), (363, 360), (300, 420)])
def test_the_outline_is_cut_at_the_crop_s_own_resolution(shape: tuple[int, int]) -> None:
    mask = find_cell(whole_cell(), shape).mask
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    down = ((rows + 0.5) * GRID_PX / shape[0] - 0.5 - CENTRE) / 24
    across = ((columns + 0.5) * GRID_PX / shape[1] - 0.5 - CENTRE) / 24
    true = np.hypot(down, across) <= 1
    assert mask.shape == shape
    assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.99


def test_the_cell_comes_in_its_tight_box_on_black() -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (256, 256, 3), dtype=np.uint8)
    mask = find_cell(whole_cell(40, 80), (256, 256)).mask
    cell = isolate_cell(whole_cell(40, 80), pixels, LIMITS)
    rows, columns = np.nonzero(mask)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    np.testing.assert_array_equal(cell, pixels[box] * mask[box][..., None])
    assert cell.dtype == np.uint8
    assert cell[0].any()
    assert cell[:, 0].any()
    assert cell[-1].any()
    assert cell[:, -1].any()
    assert not cell[[0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_a_vacuole_belongs_to_the_cell() -> None:
    hole = np.minimum(disc(), 1 - disc(CENTRE + 16, CENTRE, 4))
    mask = find_cell(masks(hole, disc(radius=10)), (256, 256)).mask
    np.testing.assert_array_equal(mask, find_cell(whole_cell(), (256, 256)).mask)


def test_of_several_cells_the_central_one_is_taken_and_nothing_of_the_others() -> None:
    alone = find_cell(whole_cell(64, 50, 20), (300, 300)).mask
    others = joined(whole_cell(64, 50, 20), whole_cell(24, 100, 22), whole_cell(104, 100, 20))
    np.testing.assert_array_equal(find_cell(others, (300, 300)).mask, alone)


def test_a_cell_in_the_corner_is_found() -> None:
    corner = find_cell(whole_cell(25, 26, 20), (128, 128))
    assert corner.mask[25, 26]
    assert corner.border_contact == 0


def test_a_whole_cell_is_preferred_to_one_that_the_border_cuts() -> None:
    both = joined(whole_cell(64, 2, 20), whole_cell(64, 104, 20))
    assert find_cell(both, (128, 128)).mask[64, 104]


def test_a_speck_of_nucleus_at_the_centre_is_no_rival() -> None:
    platelet = masks(disc(radius=4), disc(radius=3))
    assert find_cell(joined(platelet, whole_cell(30, 30)), (128, 128)).mask[30, 30]


def test_a_cell_with_a_sure_nucleus_is_preferred_to_a_doubtful_one_nearer_the_centre() -> None:
    doubtful = masks(disc(radius=20), 0.6 * disc(radius=10))
    both = joined(doubtful, whole_cell(30, 26, 20))
    assert find_cell(both, (128, 128)).mask[30, 26]


def test_a_cell_that_vanishes_in_a_tiny_crop_is_none() -> None:
    dot = masks(disc(64, 64, 1), disc(64, 64, 1))
    assert find_cell(dot, (128, 128)).mask.sum() == 5
    with pytest.raises(CellError) as refused:
        find_cell(dot, (8, 8))
    assert refused.value.reason == "no_cell_found"


def test_what_has_no_nucleus_is_no_cell() -> None:
    assert reason_of(masks(disc(), np.zeros_like(disc()))) == "no_cell_found"
    assert reason_of(masks(np.zeros_like(disc()), np.zeros_like(disc()))) == "no_cell_found"


@pytest.mark.parametrize("radius", [5, 63])
def test_a_cell_of_another_size_is_refused(radius: float) -> None:
    assert reason_of(whole_cell(radius=radius)) == "cell_size_implausible"


def test_a_cell_that_the_border_cuts_is_refused() -> None:
    assert reason_of(whole_cell(row=10)) == "cell_touches_border"


def test_a_cell_may_touch_the_border_as_far_as_the_limits_say() -> None:
    touching = find_cell(whole_cell(row=23.7), (128, 128))
    assert touching.border_contact == pytest.approx(2 * np.sqrt(24**2 - 23.7**2) / 48, abs=0.03)
    check_plausible(touching, IsolationLimits(border_contact=0.2))
    with pytest.raises(CellError, match=r"0.1\d of the cell's diameter lies on the image's border"):
        check_plausible(touching, IsolationLimits(border_contact=0.1))


def test_two_cells_that_touch_are_refused() -> None:
    two = joined(whole_cell(64, 40, 22), whole_cell(64, 84, 22))
    assert reason_of(two) == "several_nuclei"


def test_lobes_of_one_nucleus_pass() -> None:
    lobes = disc(56, 54, 8) + disc(74, 58, 8) + disc(62, 76, 8)
    found = find_cell(masks(disc(radius=28), lobes), (128, 128))
    assert 0.3 < found.nuclei_apart < LIMITS.nuclei_apart
    check_plausible(found, LIMITS)


@pytest.mark.parametrize("radius", [5, 24])
def test_too_little_and_too_much_nucleus_is_refused(radius: float) -> None:
    assert reason_of(masks(disc(), disc(radius=radius))) == "nucleus_share_implausible"


def test_limits_decide() -> None:
    found = find_cell(whole_cell(row=10), (128, 128))
    check_plausible(found, IsolationLimits(border_contact=2.0))
    assert reason_of(whole_cell(), IsolationLimits(largest_area=0.1)) == "cell_size_implausible"


def test_a_cell_that_is_cut_out_leaves_the_crop_alone() -> None:
    pixels = np.full((8, 8, 3), 7, np.uint8)
    mask = np.zeros((8, 8), bool)
    mask[2:5, 3] = True
    np.testing.assert_array_equal(cut_out(pixels, mask), np.full((3, 1, 3), 7))
    assert pixels.min() == 7


def test_crops_are_resized_as_pillow_does() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (363, 360, 3), dtype=np.uint8)
    resized = resize_for_isolation(pixels)
    expected = Image.fromarray(pixels).resize((GRID_PX, GRID_PX), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resized, np.asarray(expected))
    assert resized.dtype == np.uint8
