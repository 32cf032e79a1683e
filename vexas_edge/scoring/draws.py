"""The random choice of the cells that each aggregate is the median of.

Each slot of each draw takes the cell with the smallest hash of (cell, slot, draw, seed). So a draw
is uniform with replacement and does not depend on names, on the order of cells or on a library's
random stream; removing one cell changes only the slots that it held.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.models import Network

# How many hashes are compared at a time: 256 KiB of them, which fit a core's cache.
_BLOCK = 1 << 15


def draw_cells(
    identities: Sequence[bytes], n_draws: int, draw_size: int, seed: int
) -> NDArray[np.int64]:
    """Random draws of cells, int64 (n_draws, draw_size): indices into `identities`.

    Args:
        identities: of each cell, at least 8 evenly distributed bytes, distinct, in any order.
        seed: 0 to 2**64 - 1.

    Raises:
        ValueError: there is no cell to draw from.

    >>> draw_cells([b"one cell's hash.", b"another's hash.."], n_draws=2, draw_size=5, seed=0)
    array([[0, 1, 1, 1, 0],
           [1, 1, 0, 1, 0]])
    """
    if not identities:
        raise ValueError("no cell to draw from")
    slots = _mixed_slots(n_draws, draw_size, seed)
    return _winners(slots, identities).reshape(n_draws, draw_size)


def draws_without(
    draws: NDArray[np.int64], identities: Sequence[bytes], left_out: Collection[int], seed: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """What `draw_cells` would give if some cells were not there, of the draws that hold one.

    Args:
        draws: what it gives with all of them, (n_draws, draw_size).
        left_out: indices of the cells that are not there; not of all.

    Returns:
        The rows of these draws, (R,), and what they would be, int64 (R, draw_size): indices into
        all identities.

    >>> cells = [b"one cell's hash.", b"another's hash..", b"a third's hash.."]
    >>> draws_without(draw_cells(cells, 2, 5, seed=0), cells, [2], seed=0)[1].tolist()
    [[0, 1, 1, 1, 0], [1, 1, 0, 1, 0]]
    """
    held = np.isin(draws, list(left_out))
    rows = np.flatnonzero(held.any(axis=1))
    if not len(rows):
        return rows, draws[rows]
    others = np.array([i for i in range(len(identities)) if i not in left_out], np.int64)
    n_draws, draw_size = draws.shape
    slots = _mixed_slots(n_draws, draw_size, seed)[held.ravel()]
    changed = draws.copy()
    changed[held] = others[_winners(slots, [identities[i] for i in others])]
    return rows, changed[rows]


def _winners(slots: NDArray[np.uint64], identities: Sequence[bytes]) -> NDArray[np.int64]:
    """The index of the cell that each slot takes, (len(slots),)."""
    # If two identities have the same first 8 bytes, the smaller one comes first and wins.
    order = by_identity(identities)
    keys = np.array([int.from_bytes(identities[i][:8], "big") for i in order], np.uint64)
    winners = np.empty(len(slots), np.int64)
    step = max(1, _BLOCK // len(keys))
    for start in range(0, len(slots), step):
        hashes = slots[start : start + step, None] ^ keys
        _mix_in_place(hashes)
        winners[start : start + step] = np.argmin(hashes, axis=1)
    return np.array(order, np.int64)[winners]


def by_identity(identities: Sequence[bytes]) -> list[int]:
    """The places of cells in the order of their identities."""
    return sorted(range(len(identities)), key=identities.__getitem__)


def draws_of(
    identities: Sequence[bytes], model: Network, n_draws: int | None = None
) -> NDArray[np.int64]:
    """Draws with the draw size and seed of a model of medians, int64 (n_draws, draw_size).

    Args:
        n_draws: None means as many as the model scores with.
    """
    recipe = model.medians
    n_draws = recipe.score_draws if n_draws is None else n_draws
    return draw_cells(identities, n_draws, recipe.draw_size, recipe.seed)


def splitmix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The splitmix64 hash of each value (Steele, Lea and Flood 2014), a bijection of 64 bits."""
    mixed = values.copy()
    _mix_in_place(mixed)
    return mixed


def _mix_in_place(values: NDArray[np.uint64]) -> None:
    values += np.uint64(0x9E3779B97F4A7C15)
    shifted = values >> np.uint64(30)
    values ^= shifted
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= np.right_shift(values, np.uint64(27), out=shifted)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= np.right_shift(values, np.uint64(31), out=shifted)


def _mixed_slots(n_draws: int, draw_size: int, seed: int) -> NDArray[np.uint64]:
    """One hash per slot, (n_draws * draw_size,), from the seed, the draw and the place in it."""
    seeded = splitmix64(np.array([seed], np.uint64))
    draws = splitmix64(seeded ^ np.arange(n_draws, dtype=np.uint64))
    places = splitmix64(draws[:, None] ^ np.arange(draw_size, dtype=np.uint64))
    return places.ravel()
