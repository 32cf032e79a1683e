"""Timing several things in turns, with intervals that allow for a PC's busy spells.

Times within a turn resemble each other more than times of different turns, so intervals come from
resampling whole turns (a block bootstrap) and not single times. A PC's speed drifts by more than
the differences that a comparison of two runs must find. So a yardstick, which is the same work on
every PC and in every version, is timed around each query of each turn: times that are divided by
the yardstick's time can be compared in spite of the drift.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.host.clock import seconds_of

_TURNS = 10
_RESAMPLES = 1000
_YARDSTICK_REPEATS = 5

Turns = Sequence[NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """The times of one query.

    turns: for each turn, the seconds of every repeat.
    yardsticks: for each turn, the seconds of the yardstick.
    """

    turns: Turns
    yardsticks: Sequence[float]

    @property
    def count(self) -> int:
        """The number of times."""
        return sum(map(len, self.turns))

    def percentile(self, q: float) -> float:
        """The q-th percentile of all times, in seconds."""
        return float(np.percentile(np.concatenate(self.turns), q))

    def in_yardsticks(self) -> "Times":
        """The same times, in units of their turn's yardstick instead of seconds."""
        pairs = zip(self.turns, self.yardsticks, strict=True)
        return Times(
            turns=[turn / yardstick for turn, yardstick in pairs],
            yardsticks=[1.0] * len(self.turns),
        )

    def interval(self, q: float = 50) -> tuple[float, float]:
        """The 95 % interval of the q-th percentile, in seconds, from resampled turns."""
        rng = np.random.Generator(np.random.PCG64(0))
        drawn = rng.integers(0, len(self.turns), (_RESAMPLES, len(self.turns)))
        values = [np.percentile(np.concatenate([self.turns[i] for i in row]), q) for row in drawn]
        low, high = np.percentile(values, [2.5, 97.5])
        return float(low), float(high)


def times_in_turns(
    queries: Sequence[Callable[[], object]],
    *,
    seconds: float,
    least: Sequence[int],
    report: Callable[[str], None],
) -> list[Times]:
    """The times of each query; its first run is a warm-up that does not count.

    Args:
        seconds: how long each query is run at least, over all turns.
        least: how many times each query is run at least.
        report: called before each turn with one line about it.
    """
    for query in queries:
        query()
    taken: list[list[NDArray[np.float64]]] = [[] for _ in queries]
    yardsticks: list[list[float]] = [[] for _ in queries]
    yardstick = _yardstick()
    for turn in range(_TURNS):
        report(f"turn {turn + 1} of {_TURNS}")
        before = _seconds_of_yardstick(yardstick)
        for index, query in enumerate(queries):
            taken[index].append(_one_turn(query, seconds / _TURNS, -(-least[index] // _TURNS)))
            after = _seconds_of_yardstick(yardstick)
            yardsticks[index].append((before + after) / 2)
            before = after
    return [Times(turns=t, yardsticks=y) for t, y in zip(taken, yardsticks, strict=True)]


def _yardstick() -> Callable[[], object]:
    """Work of some 3 ms in NumPy alone: a matrix product, and a sum that does not fit caches."""
    matrix = np.full((512, 512), 0.5, np.float32)
    plane = np.zeros(1 << 21, np.float32)
    return lambda: (matrix @ matrix, plane.sum())


def _seconds_of_yardstick(yardstick: Callable[[], object]) -> float:
    return float(np.median(_one_turn(yardstick, 0, _YARDSTICK_REPEATS)))


def _one_turn(query: Callable[[], object], seconds: float, fewest: int) -> NDArray[np.float64]:
    times: list[float] = []
    ends = time.monotonic() + seconds
    while len(times) < fewest or time.monotonic() < ends:
        times.append(seconds_of(query))
    return np.array(times)
