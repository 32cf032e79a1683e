"""What a watcher says of itself in the results folder, for whoever asks how it stands."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from vexas_edge.errors import HostError, InputError
from vexas_edge.files import write_atomically
from vexas_edge.ledger.derived import WATCH, known_from_lines, read_journal
from vexas_edge.ledger.lock import is_held
from vexas_edge.text import listed

_PROBLEMS_NAMED = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchStatus:
    """How a watcher stands.

    looked: when it last looked, UTC, ISO 8601.
    trouble: what keeps it from working; empty if nothing does.
    counts: how many smears are arriving, ready, waiting for another try, given up or done.
    problems: why smears could not be read, by their names.
    """

    folder: str
    looked: str
    trouble: str
    counts: dict[str, int]
    problems: dict[str, str]


def write_status(results: Path, status: WatchStatus) -> None:
    """Write it down; where that is not possible, it is old the next time that somebody asks."""
    with suppress(HostError):
        write_atomically(results / WATCH, msgspec.json.encode(status) + b"\n")


def lines_from_status(results: Path) -> Iterator[str]:
    """How the watcher of a results folder stands, in words.

    Raises:
        InputError: nobody has watched with it.
    """
    try:
        status = msgspec.json.decode((results / WATCH).read_bytes(), type=WatchStatus)
        looked = datetime.fromisoformat(status.looked).astimezone(UTC)
    except (OSError, ValueError) as error:  # msgspec's errors are among these
        raise InputError(f"{results} is no results folder that somebody watches with") from error
    ago = max(0, round((datetime.now(UTC) - looked).total_seconds()))
    if is_held(results):
        yield f"{status.folder} is watched; it was last looked at {ago} s ago"
    else:
        yield f"{status.folder} is not watched now; the last look was {looked:%Y-%m-%d %H:%M} UTC"
    if status.trouble:
        yield f"trouble: {status.trouble}"
    counts = ", ".join(f"{n} {standing}" for standing, n in sorted(status.counts.items()))
    yield f"smears: {counts or 'none yet'}"
    known = known_from_lines(read_journal(results))
    states = Counter(_word(line.status, known.state(line)) for line in known)
    shown = ", ".join(f"{n} {word}" for word, n in sorted(states.items()))
    yield f"results: {shown or 'none yet'}"
    problems = [f"{name}: {problem}" for name, problem in sorted(status.problems.items())]
    yield from problems[:_PROBLEMS_NAMED]
    if more := [problem.partition(":")[0] for problem in problems[_PROBLEMS_NAMED:]]:
        yield f"and also: {listed(more)}"


def _word(status: str, state: str) -> str:
    return status if state == "current" else state
