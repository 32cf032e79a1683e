"""The statistics of raw images, that a model's gate compares with training."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from training.reference.changes import blurred, noisy, saved_as_jpeg, scaled, with_gains
from vexas_edge.cells.background import background_of_cell
from vexas_edge.domain.measures import HARM_PLACES
from vexas_edge.quality.counting import histogram, log2_of, mean_and_variance, quantiles
from vexas_edge.quality.statistics import (
    CASE_STATISTICS,
    CELL_STATISTICS,
    FAMILIES,
    case_statistics,
    cell_statistics,
)

SIDE_PX = 160
WINDOW_PX = 112


def drawn_cell(seed: int = 0) -> NDArray[np.uint8]:
    """A cell with its nucleus, and red cells, on a slide; uint8 (160, 160, 3), in whole numbers."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    pixels = np.full((SIDE_PX, SIDE_PX, 3), (240, 226, 200), np.int64)
    discs = [(30, 34, 19, (200, 160, 150)), (128, 40, 19, (200, 160, 150))]
    discs += [(80, 84, 30, (178, 168, 196)), (82, 86, 20, (96, 60, 140))]
    for row, column, radius, colour in discs:
        pixels[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = colour
    return np.clip(pixels + rng.integers(-5, 6, pixels.shape), 0, 255).astype(np.uint8)


def statistics_of(pixels: NDArray[np.uint8], window_px: int = WINDOW_PX) -> NDArray[np.float64]:
    return cell_statistics(pixels, background_of_cell(pixels), window_px)


def measured(pixels: NDArray[np.uint8]) -> dict[str, float]:
    return dict(zip(CELL_STATISTICS, statistics_of(pixels), strict=True))


def test_every_statistic_has_a_name_of_its_own_and_a_family() -> None:
    assert len(set(CASE_STATISTICS)) == len(CASE_STATISTICS) == len(FAMILIES)
    assert set(FAMILIES) == {"focus", "exposure", "colour", "stain", "file format", "size"}
    assert statistics_of(drawn_cell()).shape == (len(CELL_STATISTICS),)


def test_the_bits_are_those_of_every_cpu() -> None:
    found = statistics_of(drawn_cell()).astype("<f8").tobytes()
    assert hashlib.sha256(found).hexdigest()[:16] == "26ff32ef77236815"


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 3), (40, 7, 3), (300, 300, 3)])
@pytest.mark.parametrize("window_px", [16, 272])
def test_strange_images_have_statistics_too(shape: tuple[int, int, int], window_px: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for pixels in (np.zeros_like(noise), np.full_like(noise, 255), noise):
        assert np.isfinite(statistics_of(pixels, window_px)).all()


def test_the_parts_of_a_cell_are_found() -> None:
    found = measured(drawn_cell())
    assert found["nucleus_share"] == pytest.approx(np.pi * 20**2 / WINDOW_PX**2, rel=0.2)
    assert found["cytoplasm_share"] == pytest.approx(
        np.pi * (30**2 - 20**2) / WINDOW_PX**2, rel=0.2
    )
    assert found["nucleus_red"] > found["cytoplasm_red"] > 0
    assert found["red_cells_blue_to_green"] > found["cytoplasm_blue_to_green"]
    assert found["red_cells_share"] == pytest.approx(2 * np.pi * 19**2 / SIDE_PX**2, rel=0.2)


def test_each_change_moves_what_it_is_measured_by() -> None:
    cell = drawn_cell()
    clean = measured(cell)
    assert measured(blurred(cell, 1))["band_1_to_2"] < clean["band_1_to_2"] - 0.5
    assert measured(noisy(cell, 8))["noise"] > clean["noise"] + 0.5
    assert measured(saved_as_jpeg(cell, 40))["none_8_10"] > clean["none_8_10"] + 0.2
    larger = measured(scaled(cell, 1.25))
    assert larger["nucleus_spread_px"] > clean["nucleus_spread_px"] + 0.2
    assert larger["red_area_to_outline"] > 1.1 * clean["red_area_to_outline"]
    assert measured(with_gains(cell, 1, 0.7, 1))["slide_g"] < 0.75 * clean["slide_g"]


def test_a_darker_lamp_hides_nothing_from_the_harm_trees() -> None:
    dark, clean = (
        case_statistics([statistics_of(p)] * 3)
        for p in (with_gains(drawn_cell(), 0.7, 0.7, 0.7), drawn_cell())
    )
    blurry = case_statistics([statistics_of(blurred(drawn_cell(), 1))] * 3)
    asked = [k for k in HARM_PLACES if CASE_STATISTICS[k].startswith(("band", "steep"))]
    moved, told = np.abs(dark - clean)[asked], np.abs(blurry - clean)[asked]
    assert moved.sum() < 0.1 * told.sum()


def test_a_cell_turned_over_has_the_same_levels() -> None:
    cell = drawn_cell()
    names = [n for n in CELL_STATISTICS if n.startswith(("slide_", "light", "clipped", "span"))]
    turned = measured(np.ascontiguousarray(cell[::-1, ::-1]))
    assert [turned[n] for n in names] == [measured(cell)[n] for n in names]


def test_a_case_is_the_lower_median_of_its_cells_and_their_spread() -> None:
    cells = [np.full(len(CELL_STATISTICS), float(k)) for k in (7, 1, 5, 3)]
    found = case_statistics(cells)
    assert set(found[: len(CELL_STATISTICS)]) == {3.0}
    assert set(found[len(CELL_STATISTICS) :]) == {6.0}
    np.testing.assert_array_equal(found, case_statistics(cells[::-1]))


def test_counting_is_exact() -> None:
    values = np.array([0, 0, 3, 9, 4], np.int16)
    counts = histogram(values, 5)
    assert counts.tolist() == [2, 0, 0, 1, 2]
    assert quantiles(counts, (0, 400, 500, 1000)) == [0, 0, 3, 4]
    assert mean_and_variance(counts) == pytest.approx((11 / 5, 3.36))
    assert mean_and_variance(np.zeros(4, np.int64)) == (0, 0)
    assert [log2_of(2**k) for k in (0, 1, 40)] == [0, 1, 40]
    assert log2_of(3_000_001) == pytest.approx(np.log2(3_000_001), abs=4e-4)
