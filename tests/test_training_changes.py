"""The simulated changes of lamp, stain, focus and file."""

from itertools import chain

import numpy as np
import pytest
from other_changes import in_between, otherwise_made, pairs

from training.reference.changes import KINDS, Change, RgbPixels, fitted_changes, noisy, stained
from training.reference.pairs import PairOfChanges, fitted_pairs

FAMILIES = {"focus", "exposure", "colour", "stain", "file format", "size"}


def drawn_cell() -> RgbPixels:
    """A dark disc on a pink slide, uint8 (64, 72, 3), with a little texture."""
    rows, columns = np.mgrid[:64, :72]
    cell = np.full((64, 72, 3), (250, 228, 205), np.float64)
    cell[np.hypot(rows - 32, columns - 36) < 18] = (96, 60, 140)
    grain = np.random.default_rng(0).normal(0, 3, cell.shape)
    return np.clip(np.rint(cell + grain), 0, 255).astype(np.uint8)


def named_changes() -> dict[str, object]:
    trained: dict[str, object] = {
        change.name: change for change in chain(fitted_changes(), in_between())
    }
    trained |= {pair.name: pair for pair in fitted_pairs()}
    return trained | {name: change for name, _, change in chain(pairs(), otherwise_made())}


def test_there_are_thirteen_kinds_at_eighty_one_strengths_of_six_families() -> None:
    assert len(KINDS) == 13
    assert len(list(fitted_changes())) == 81
    assert {kind.family for kind in KINDS.values()} == FAMILIES


@pytest.mark.parametrize("name", named_changes())
def test_a_change_gives_another_image_of_the_same_size_and_always_the_same(name: str) -> None:
    change, cell = named_changes()[name], drawn_cell()
    assert callable(change)
    before = cell.copy()
    once, again = change(cell), change(cell)
    assert once.dtype == np.uint8
    assert once.shape == cell.shape
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(cell, before)
    assert (once != cell).any()


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"jpeg"}))
def test_the_neutral_strength_changes_nothing_that_shows(kind: str) -> None:
    cell = drawn_cell()
    changed = Change(kind=kind, strength=KINDS[kind].neutral)(cell)
    assert np.abs(changed.astype(int) - cell).max() <= 1


def test_strengths_in_between_are_not_those_of_fitting() -> None:
    fitted = {change.name for change in fitted_changes()}
    assert not fitted & {change.name for change in in_between()}
    assert {change.kind for change in in_between()} == set(KINDS)


def test_noise_depends_on_the_image_and_on_nothing_else() -> None:
    cell = drawn_cell()
    other = cell.copy()
    other[0, 0, 0] ^= 1
    assert (noisy(cell, 4) != noisy(other, 4))[1:].any()


def test_more_dye_makes_the_nucleus_darker_and_leaves_the_slide() -> None:
    cell = drawn_cell()
    more = stained(cell, 1.5).astype(int) - cell
    assert more[32, 36].max() < -5
    assert abs(more[2, 2]).max() <= 5


def test_a_gate_is_fitted_on_no_pair_of_kinds_that_it_is_tested_on() -> None:
    fitted = {frozenset((pair.first.kind, pair.second.kind)) for pair in fitted_pairs()}
    tested = {
        frozenset((pair.first.kind, pair.second.kind))
        for _, _, pair in pairs()
        if isinstance(pair, PairOfChanges)
    }
    assert len(fitted) == 30
    assert len(tested) == 10
    assert not fitted & tested
