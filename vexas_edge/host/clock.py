"""The stopwatch that everything here measures time with."""

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
    """The median time of each work, in seconds.

    All are called in turn, so that a busy moment of the PC affects them alike.

    Args:
        turns: the least number of turns; one more comes first, as a warm-up that does not count.
        seconds: the least time for all turns together.
    """
    ends = time.monotonic() + seconds
    taken: list[dict[_Key, float]] = []
    while len(taken) <= turns or time.monotonic() < ends:
        taken.append({key: seconds_of(work) for key, work in works.items()})
    return {key: statistics.median(turn[key] for turn in taken[1:]) for key in works}
