"""How long work takes on this PC: the one stopwatch of everything that measures."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

_Key = TypeVar("_Key", bound=Hashable)


def seconds_of(work: Callable[[], object]) -> float:
    """How long one call of `work` takes, in seconds of the wall clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median_seconds(
    works: Mapping[_Key, Callable[[], object]], *, turns: int, seconds: float = 0.0
) -> dict[_Key, float]:
    """The median time of each work, called in turn, so that a busy moment falls on all alike.

    Args:
        turns: how many times each is called at least, after one turn that is left out as warm-up.
        seconds: for how long turns go on, at least, over all works.
    """
    ends = time.monotonic() + seconds
    taken: list[dict[_Key, float]] = []
    while len(taken) <= turns or time.monotonic() < ends:
        taken.append({key: seconds_of(work) for key, work in works.items()})
    return {key: statistics.median(turn[key] for turn in taken[1:]) for key in works}
