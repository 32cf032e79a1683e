"""Which smears have arrived whole, which are to be tried again, and which were given up.

Time is whatever the caller counts in seconds; no clock of a disk is compared with another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

# After how many seconds a smear that could not be read is tried again, each time; then it is given
# up until something of it changes.
RETRY_SECONDS = (30.0, 60.0, 120.0, 240.0, 480.0)

Standing = Literal["arriving", "ready", "waiting for another try", "given up", "done"]


@dataclass(kw_only=True, slots=True)
class _Arrival:
    """A smear. since: when its facts were first seen. due: when it is to be tried."""

    facts: str
    since: float
    due: float
    tries: int = 0
    ended: Literal["", "done", "given up"] = ""
    problem: str = ""


class Arrivals:
    """The smears of a watched folder, by their names."""

    def __init__(self, settle_seconds: float) -> None:
        """Nothing has arrived yet.

        Args:
            settle_seconds: how long nothing of a smear must change before it counts as whole.
        """
        self._settle_seconds = settle_seconds
        self._smears: dict[str, _Arrival] = {}

    def see(self, facts: Mapping[str, str], now: float) -> None:
        """Take in what was found: a hash of what is known of each smear's files."""
        for name in self._smears.keys() - facts.keys():
            del self._smears[name]
        for name, seen in facts.items():
            known = self._smears.get(name)
            if known is None or known.facts != seen:
                due = now + self._settle_seconds
                self._smears[name] = _Arrival(facts=seen, since=now, due=due)

    def ready(self, now: float) -> list[str]:
        """The smears that are to be scored now, those that have waited longest first."""
        ready = [(a.due, name) for name, a in self._smears.items() if not a.ended and a.due <= now]
        return [name for _, name in sorted(ready)]

    def finish(self, name: str) -> None:
        """Take in that a smear has its result."""
        arrival = self._smears[name]
        arrival.ended, arrival.problem = "done", ""

    def is_last_try(self, name: str) -> bool:
        """Whether a smear that cannot be read is to be given up now."""
        return self._smears[name].tries >= len(RETRY_SECONDS)

    def postpone(self, name: str, now: float, problem: str, *, counts: bool = True) -> bool:
        """Try a smear again later; returns whether that is for another reason than last time.

        Args:
            counts: whether the smear is at fault, so that it is given up some time.
        """
        arrival = self._smears[name]
        is_new, arrival.problem = problem != arrival.problem, problem
        arrival.due = now + RETRY_SECONDS[min(arrival.tries, len(RETRY_SECONDS) - 1)]
        arrival.tries += counts
        return is_new

    def give_up(self, name: str, problem: str) -> None:
        """Take in that a smear has failed, until something of it changes."""
        arrival = self._smears[name]
        arrival.ended, arrival.problem = "given up", problem

    def standings(self, now: float) -> Iterator[tuple[str, Standing, str]]:
        """How each smear stands: its name, where it is on its way, and what the problem is."""
        for name, arrival in self._smears.items():
            yield name, _standing(arrival, now), arrival.problem


def _standing(arrival: _Arrival, now: float) -> Standing:
    if arrival.ended:
        return arrival.ended
    if arrival.problem:
        return "waiting for another try"
    return "ready" if arrival.due <= now else "arriving"
