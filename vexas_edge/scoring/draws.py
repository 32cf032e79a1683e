"""The random choice of the cells that each aggregate is the median of.

Each slot of each draw takes the cell with the smallest hash of (cell, slot, draw, seed). So a draw
is uniform with replacement and does not depend on names, on the order of cells or on a library's
random stream; removing one cell changes only the slots that it held.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.manifest import Model

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
    # If two identities have the same first 8 bytes, the smaller one comes first and wins.
    order = sorted(range(len(identities)), key=identities.__getitem__)
    keys = np.array([int.from_bytes(identities[i][:8], "big") for i in order], np.uint64)
    slots = _mixed_slots(n_draws, draw_size, seed)
    winners = np.empty(len(slots), np.int64)
    step = max(1, _BLOCK // len(keys))
    for start in range(0, len(slots), step):
        hashes = slots[start : start + step, None] ^ keys
        _mix_in_place(hashes)
        winners[start : start + step] = np.argmin(hashes, axis=1)
    return np.array(order, np.int64)[winners].reshape(n_draws, draw_size)


def draws_of(
    identities: Sequence[bytes], model: Model, n_draws: int | None = None
) -> NDArray[np.int64]:
    """Draws with the model's draw size and seed, int64 (n_draws, draw_size).

    Args:
        n_draws: None means as many as the model scores with.
    """
    recipe = model.aggregation
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
