"""Draws: uniform, and stable under everything that should not matter."""

import hashlib
import tracemalloc

import numpy as np
import pytest

from vexas_edge.scoring.draws import draw_cells, splitmix64


def identities(n: int) -> list[bytes]:
    return [hashlib.sha256(f"cell {i}".encode()).digest() for i in range(n)]


def drawn_identities(cells: list[bytes], n_draws: int = 100, seed: int = 0) -> list[list[bytes]]:
    return [[cells[i] for i in draw] for draw in draw_cells(cells, n_draws, 10, seed)]


def test_the_hash_is_the_published_splitmix64() -> None:
    # The first outputs of Vigna's splitmix64.c from state 0.
    states = np.arange(4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [hex(value) for value in splitmix64(states)] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
        "0xf88bb8a8724c81ec",
    ]


def test_draws_are_what_they_always_were() -> None:
    # A change here changes every score that was ever reported.
    assert draw_cells(identities(7), 3, 5, seed=0).tolist() == [
        [1, 0, 2, 0, 0],
        [6, 6, 4, 5, 2],
        [1, 0, 2, 4, 2],
    ]


def test_a_draw_is_the_smallest_hash_of_cell_and_slot() -> None:
    cells, seed = identities(9), 5

    def mixed(value: int) -> int:
        return int(splitmix64(np.array([value], np.uint64))[0])

    for draw, row in enumerate(draw_cells(cells, 4, 3, seed)):
        for place, winner in enumerate(row):
            slot = mixed(mixed(mixed(seed) ^ draw) ^ place)
            hashes = [mixed(slot ^ int.from_bytes(cell[:8], "big")) for cell in cells]
            assert winner == hashes.index(min(hashes))


def test_every_cell_is_drawn_equally_often() -> None:
    counts = np.bincount(draw_cells(identities(40), 2000, 10, seed=1).ravel(), minlength=40)
    expected = 2000 * 10 / 40
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert 16 < chi_square < 73  # 0.1 % and 99.9 % of chi-square with 39 degrees of freedom


def test_the_places_of_a_draw_are_independent() -> None:
    draws = draw_cells(identities(8), 20_000, 2, seed=2)
    counts = np.bincount(draws[:, 0] * 8 + draws[:, 1], minlength=64)
    expected = 20_000 / 64
    assert 32 < ((counts - expected) ** 2 / expected).sum() < 104  # 63 degrees of freedom


def test_a_cell_may_be_drawn_twice_in_one_draw() -> None:
    # 10 of 40 with replacement: all distinct with probability 0.29.
    draws = draw_cells(identities(40), 4000, 10, seed=3)
    distinct = np.mean([len(set(draw)) == 10 for draw in draws.tolist()])
    assert distinct == pytest.approx(0.29, abs=0.02)


def test_draws_do_not_depend_on_the_order_of_the_cells() -> None:
    cells = identities(50)
    shuffled = [cells[i] for i in np.random.default_rng(0).permutation(50)]
    assert drawn_identities(shuffled) == drawn_identities(cells)


def test_removing_a_cell_changes_only_the_slots_that_it_held() -> None:
    cells = identities(40)
    before, after = drawn_identities(cells), drawn_identities(cells[:17] + cells[18:])
    for old, new in zip(before, after, strict=True):
        for was, now in zip(old, new, strict=True):
            assert (was == now) == (was != cells[17])


def test_more_draws_keep_the_first_ones() -> None:
    cells = identities(20)
    assert drawn_identities(cells, 200)[:100] == drawn_identities(cells, 100)


def test_another_seed_gives_other_draws() -> None:
    cells = identities(40)
    assert np.mean(draw_cells(cells, 500, 10, 0) == draw_cells(cells, 500, 10, 1)) < 0.05


def test_identities_with_equal_first_bytes_are_told_apart_by_the_rest() -> None:
    small, large = bytes(8) + b"a" * 24, bytes(8) + b"b" * 24
    assert (draw_cells([large, small], 5, 4, 0) == 1).all()
    assert (draw_cells([small, large], 5, 4, 0) == 0).all()


def test_one_cell_is_all_that_one_cell_can_give() -> None:
    draws = draw_cells(identities(1), 3, 10, 0)
    assert draws.dtype == np.int64
    assert draws.tolist() == [[0] * 10] * 3


def test_no_cell_is_an_error() -> None:
    with pytest.raises(ValueError, match="no cell to draw from"):
        draw_cells([], 10, 10, 0)


def test_memory_does_not_grow_with_cells_times_draws() -> None:
    cells = identities(20_000)
    tracemalloc.start()
    draws = draw_cells(cells, 100, 10, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert draws.min() >= 0
    assert draws.max() < 20_000
    assert peak < 16 << 20  # all hashes at once would be 160 MB
