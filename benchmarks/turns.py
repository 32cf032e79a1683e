"""Kinds of work, timed in turns, so that a busy moment of the machine meets them all alike."""

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 2000


def seconds_in_turns(
    work: Mapping[str, Callable[[], object]], turns: int
) -> list[dict[str, float]]:
    """Seconds of each kind of work, one entry per turn, in another order each time.

    A first turn is a warm-up and is not among them.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    found = []
    for _ in range(turns + 1):
        turn = {}
        for name in rng.permutation(list(work)):
            started = time.perf_counter()
            work[name]()
            turn[str(name)] = time.perf_counter() - started
        found.append(turn)
    return found[1:]


def median_and_interval(values: NDArray[np.float64]) -> list[float]:
    """The median, and the ends of its 95 % interval by resampling, to three decimals."""
    rng = np.random.Generator(np.random.PCG64(0))
    drawn = np.median(rng.choice(values, (_RESAMPLES, len(values))), axis=1)
    found = (np.median(values), *np.percentile(drawn, [2.5, 97.5]))
    return [round(float(value), 3) for value in found]
