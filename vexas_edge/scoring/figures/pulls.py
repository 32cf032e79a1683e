"""Which cells pull a score up, and which down.

A cell's pull is the score less what it would be if the cell were not there. Of medians, its places
in draws go to the cells that would have them then, and nothing else changes. To find that for each
cell would cost the classifier ten times the score. So the cells are ordered first by how their
number in a draw goes with its probability, which costs nothing, and pulls are found of the first
and the last few alone.
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from vexas_edge.results.values import Pull, Pulls
from vexas_edge.scoring.draws import draws_without

# How many cells are looked at on each side, and which pull is none: a result shows three decimals.
MOST_PULLS = 6
LEAST_PULL = 0.0005

# The probability of the positive class in each of some draws: float64 (A,) from int64 (A, K).
Classify = Callable[[NDArray[np.int64]], NDArray[np.float64]]


def pulls_of(
    probabilities: NDArray[np.float64],
    draws: NDArray[np.int64],
    identities: Sequence[bytes],
    seed: int,
    classify: Classify,
) -> Pulls:
    """The cells that pull the score most, which do not depend on the order of the cells.

    Args:
        probabilities: of each draw, (A,); their mean is the score.
        draws: (A, K), as `draw_cells` gives them with this seed, from these cells.
        classify: gives the probabilities of at most A other draws of the cells.
    """

    def score_without(cells: Collection[int]) -> float:
        rows, changed = draws_without(draws, identities, cells, seed)
        after = probabilities.copy()
        if len(rows):
            after[rows] = classify(changed)
        return float(after.mean())

    candidates = _candidates(probabilities, draws, identities)
    return pulls_from(float(probabilities.mean()), identities, candidates, score_without)


def pulls_from(
    score: float,
    identities: Sequence[bytes],
    candidates: Sequence[int],
    score_without: Callable[[Collection[int]], float],
) -> Pulls:
    """The pulls of the cells that may pull most.

    Args:
        candidates: these cells, as indices.
        score_without: what the score would be without some cells, of which it is never all.
    """

    def without(cells: Sequence[int]) -> float | None:
        return score_without(cells) if 0 < len(cells) < len(identities) else None

    changes = dict[int, float]()
    if len(identities) > 1:
        changes = {cell: score - score_without([cell]) for cell in candidates}
    ordered = sorted(changes, key=lambda cell: (-abs(changes[cell]), identities[cell]))
    up = [cell for cell in ordered if changes[cell] >= LEAST_PULL]
    down = [cell for cell in ordered if changes[cell] <= -LEAST_PULL]
    up, down = up[:MOST_PULLS], down[:MOST_PULLS]

    def named(cells: Sequence[int]) -> tuple[Pull, ...]:
        return tuple(Pull(identity=identities[c].hex(), change=changes[c]) for c in cells)

    return Pulls(up=named(up), down=named(down), without_up=without(up), without_down=without(down))


def _candidates(
    probabilities: NDArray[np.float64], draws: NDArray[np.int64], identities: Sequence[bytes]
) -> list[int]:
    """The cells that most likely pull up and down, at most `MOST_PULLS` each.

    The sum over a cell's places of how far the draw lies over the mean is as in the infinitesimal
    jackknife (Efron 2014, 10.1080/01621459.2013.823775).
    """
    over = np.repeat(probabilities - probabilities.mean(), draws.shape[1])
    sums = np.bincount(draws.ravel(), weights=over, minlength=len(identities))
    order = sorted(range(len(identities)), key=lambda c: (sums[c], identities[c]))
    return list(dict.fromkeys([*order[:MOST_PULLS], *order[-MOST_PULLS:]]))
