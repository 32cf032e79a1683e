"""The prediction interval holds what it promises, on smears whose cells are made by known rules."""

import hashlib
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from vexas_edge.scoring.draws import draw_cells
from vexas_edge.scoring.figures.interval import _variance_between_cells, prediction_interval

DRAW_SIZE = 10


def draws_of(smear: str, n_cells: int, n_draws: int = 400) -> NDArray[np.int64]:
    names = [hashlib.sha256(f"{smear} {i}".encode()).digest() for i in range(n_cells)]
    return draw_cells(names, n_draws, DRAW_SIZE, seed=0)


def probabilities_of(cells: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """A classifier of medians: each cell has one feature."""
    return 1 / (1 + np.exp(-2 * np.median(cells[draws], axis=1)))


def expected_variance(cells: NDArray[np.float64]) -> float:
    """Of a mean of cells, over smears."""
    return float(cells.var(ddof=1) / len(cells))


@pytest.mark.parametrize("n_cells", [8, 20, 60])
def test_other_cells_of_the_same_smear_score_within_the_interval(n_cells: int) -> None:
    random = np.random.default_rng(0)
    draws = [draws_of(half, n_cells) for half in ("one half", "the other half")]
    hits, middles = [], []
    for middle in random.normal(0, 1, 200):
        halves = [random.normal(middle, 1, n_cells) for _ in draws]
        probabilities = [probabilities_of(*half) for half in zip(halves, draws, strict=True)]
        low, high = prediction_interval(probabilities[0], draws[0], n_cells)
        hits.append(low <= probabilities[1].mean() <= high)
        middles.append(probabilities[0].mean())
    quarters = np.array_split(np.array(hits)[np.argsort(middles)], 4)
    assert 0.9 <= np.mean(hits) <= 0.99
    assert min(quarter.mean() for quarter in quarters) >= 0.85


@pytest.mark.parametrize("n_cells", [5, 20])
def test_the_variance_is_that_of_a_mean_of_cells(n_cells: int) -> None:
    cells = np.random.default_rng(6).normal(0, 1, n_cells)
    found = [
        _variance_between_cells(cells[draws].mean(axis=1).tolist(), draws, n_cells)
        for draws in (draws_of(f"smear {name}", n_cells, n_draws=4000) for name in range(10))
    ]
    assert np.mean(found) == pytest.approx(expected_variance(cells), rel=0.04)


def test_its_width_is_that_of_two_means_of_cells_where_the_logit_is_such_a_mean() -> None:
    cells = np.random.default_rng(1).normal(0, 0.2, 40)
    draws = draws_of("smear", 40, n_draws=1000)
    probabilities = 1 / (1 + np.exp(-cells[draws].mean(axis=1)))
    low, high = prediction_interval(probabilities, draws, 40)
    width = math.log(high / (1 - high)) - math.log(low / (1 - low))
    assert width == pytest.approx(2 * 1.96 * math.sqrt(2 * expected_variance(cells)), rel=0.05)


def test_chance_between_few_draws_is_taken_off() -> None:
    # The cells do not matter for these probabilities, so that all their covariances are by chance.
    random = np.random.default_rng(2)
    draws = draws_of("smear", 400)
    widths = [
        high - low
        for probabilities in random.uniform(0.2, 0.8, (20, len(draws)))
        for low, high in [prediction_interval(probabilities, draws, 400)]
    ]
    # It would be 0.14 if chance were left in.
    assert np.mean(widths) < 0.04


def test_neither_the_order_of_cells_nor_that_of_draws_changes_a_bit() -> None:
    random = np.random.default_rng(3)
    cells, draws = random.normal(0, 1, 17), draws_of("smear", 17)
    probabilities = probabilities_of(cells, draws)
    expected = prediction_interval(probabilities, draws, 17)
    for _ in range(5):
        renamed, order = random.permutation(17), random.permutation(len(draws))
        within = random.permuted(renamed[draws][order], axis=1)
        assert prediction_interval(probabilities[order], within, 17) == expected


@pytest.mark.parametrize("n_cells", [1, 2, 3])
def test_hardly_any_cells_say_nothing(n_cells: int) -> None:
    draws = draws_of("smear", n_cells)
    probabilities = np.full(len(draws), 0.7)
    assert prediction_interval(probabilities, draws, n_cells) == (0.0, 1.0)


def test_cells_that_all_agree_still_leave_room_for_others() -> None:
    # Of 20 cells, up to 4 may be of a kind that 20 others lacked; half a draw is, in 3.3 % of them.
    draws = draws_of("smear", 20)
    certain = np.ones(len(draws))
    assert prediction_interval(certain, draws, 20) == (0.9672, 1.0)
    assert prediction_interval(0 * certain, draws, 20) == (0.0, 0.0328)
    assert prediction_interval(0.5 * certain, draws, 20) == (0.4836, 0.5164)


@pytest.mark.parametrize("n_cells", [1, 2, 5, 12, 100])
@pytest.mark.parametrize("shift", [-40, -6, 0, 6, 40])
def test_the_score_is_within_and_the_ends_are_probabilities(n_cells: int, shift: float) -> None:
    draws = draws_of("smear", n_cells)
    cells = np.random.default_rng(4).normal(shift, 3, n_cells)
    probabilities = probabilities_of(cells, draws)
    low, high = prediction_interval(probabilities, draws, n_cells)
    assert 0 <= low <= probabilities.mean() <= high <= 1


def test_more_cells_give_a_narrower_interval() -> None:
    widths = []
    for n_cells in (5, 10, 20, 40, 80):
        cells = np.random.default_rng(5).permutation(np.linspace(-1.5, 1.5, n_cells))
        draws = draws_of("smear", n_cells)
        low, high = prediction_interval(probabilities_of(cells, draws), draws, n_cells)
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("n_probabilities", [0, 9, 11])
def test_there_must_be_one_probability_per_draw(n_probabilities: int) -> None:
    draws = np.zeros((10 if n_probabilities else 0, DRAW_SIZE), np.int64)
    with pytest.raises(ValueError, match="expected one per draw"):
        prediction_interval(np.full(n_probabilities, 0.5), draws, 1)
