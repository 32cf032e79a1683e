"""Pulls: a cell that is said to pull a score up does so, as removing it shows."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_scoring_draws import identities
from tiny import there, write_case

from vexas_edge import open_bundle, read_case
from vexas_edge.results.values import CaseScore, ModelScore, Pull, Pulls
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.draws import draw_cells, draws_without
from vexas_edge.scoring.figures.pulls import LEAST_PULL, MOST_PULLS, pulls_of
from vexas_edge.scoring.score import score_past_the_gate


def pulls_with(values: np.ndarray, n_draws: int = 400, draw_size: int = 10) -> Pulls:
    """The pulls of cells, where a draw's probability is the median of its cells' values."""
    cells = identities(len(values))
    draws = draw_cells(cells, n_draws, draw_size, seed=3)

    def classify(other: np.ndarray) -> np.ndarray:
        return np.median(values[other], axis=1)

    return pulls_of(classify(draws), draws, cells, 3, classify)


def test_draws_without_some_cells_are_those_of_the_other_cells() -> None:
    cells = identities(9)
    draws = draw_cells(cells, 50, 4, seed=7)
    rows, changed = draws_without(draws, cells, [2, 5], seed=7)
    others = [0, 1, 3, 4, 6, 7, 8]
    wanted = np.array(others)[draw_cells([cells[i] for i in others], 50, 4, seed=7)]
    found = draws.copy()
    found[rows] = changed
    np.testing.assert_array_equal(found, wanted)
    assert set(rows.tolist()) == set(np.flatnonzero(np.isin(draws, [2, 5]).any(axis=1)).tolist())


def test_a_cell_that_no_draw_holds_changes_no_draw() -> None:
    cells = identities(500)
    draws = draw_cells(cells, 5, 2, seed=0)
    absent = next(i for i in range(500) if i not in draws)
    rows, changed = draws_without(draws, cells, [absent], seed=0)
    assert (len(rows), changed.shape) == (0, (0, 2))


def test_the_cells_that_move_the_score_most_are_found() -> None:
    values = np.full(20, 0.5)
    values[[4, 11]], values[7] = 0.95, 0.02
    found = pulls_with(values, draw_size=2)
    cells = identities(20)
    assert {pull.identity for pull in found.up[:2]} == {cells[4].hex(), cells[11].hex()}
    assert found.down[0].identity == cells[7].hex()
    assert there(found.without_up) < 0.5
    assert there(found.without_down) > 0.5


def test_cells_that_are_alike_pull_nowhere() -> None:
    assert pulls_with(np.full(12, 0.3)) == Pulls(up=(), down=(), without_up=None, without_down=None)


def test_a_single_cell_has_nothing_to_be_held_against() -> None:
    assert pulls_with(np.array([0.9])).up == ()


def test_a_few_of_many_cells_are_named_the_strongest_first() -> None:
    found = pulls_with(np.random.default_rng(0).uniform(size=60))
    for pulls in (found.up, found.down):
        changes = [abs(pull.change) for pull in pulls]
        assert len(changes) == MOST_PULLS
        assert changes == sorted(changes, reverse=True)
        assert changes[-1] >= LEAST_PULL


@pytest.fixture(scope="module")
def sessions(tiny_bundle: Path) -> Iterator[Sessions]:
    with Sessions(open_bundle(tiny_bundle)) as opened:
        yield opened


def removed(smear: Path, scored: ModelScore, pulls: tuple[Pull, ...]) -> None:
    """Remove these cells from a smear's folder."""
    paths = {cell.identity: cell.path for cell in scored.cells if cell.status == "used"}
    for pull in pulls:
        (smear / paths[pull.identity]).unlink()


def neutrophils(result: CaseScore) -> ModelScore:
    return next(model for model in result.models if model.model == "neutrophil")


def score_and_pulls(model: ModelScore) -> tuple[float, Pulls]:
    return there(model.score), there(model.pulls)


@pytest.mark.parametrize("side", ["up", "down"])
def test_removing_cells_from_a_smear_moves_its_score_as_was_said(
    sessions: Sessions, tmp_path: Path, side: str
) -> None:
    smear = write_case(tmp_path / "smear", seed=4, neutrophil=24)
    before = neutrophils(score_past_the_gate(read_case(smear), sessions.bundle, sessions))
    score, pulls = score_and_pulls(before)
    first: Pull = getattr(pulls, side)[0]
    removed(smear, before, (first,))
    after = neutrophils(score_past_the_gate(read_case(smear), sessions.bundle, sessions))
    assert score - score_and_pulls(after)[0] == pytest.approx(first.change, abs=1e-6)
    removed(smear, before, getattr(pulls, side)[1:])
    last = neutrophils(score_past_the_gate(read_case(smear), sessions.bundle, sessions))
    without = getattr(pulls, f"without_{side}")
    assert score_and_pulls(last)[0] == pytest.approx(without, abs=1e-6)
    assert (without < score) is (side == "up")


def test_an_abstaining_model_has_no_pulls(sessions: Sessions, tmp_path: Path) -> None:
    smear = write_case(tmp_path / "few", neutrophil=3)
    model = neutrophils(score_past_the_gate(read_case(smear), sessions.bundle, sessions))
    assert (model.status, model.pulls, model.training_scores) == ("abstained", None, ())
