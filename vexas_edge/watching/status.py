"""What a watcher says of itself in the results folder, for whoever asks how it stands."""

import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from vexas_edge.errors import HostError, InputError
from vexas_edge.files import write_atomically
from vexas_edge.inputs import read_file
from vexas_edge.ledger.lock import LOCK, is_held
from vexas_edge.ledger.reading import WATCH, read_journal
from vexas_edge.ledger.sameness import Known, known_from_lines
from vexas_edge.text import listed, unicode_text

_PROBLEMS_NAMED, _MOST_BYTES = 10, 64 << 20


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
        status = msgspec.json.decode(read_file(results / WATCH, _MOST_BYTES), type=WatchStatus)
        looked = datetime.fromisoformat(status.looked).astimezone(UTC)
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are among these
        raise InputError(
            f"no watcher has ever written to {results}; name the folder that `watch` was given "
            "with -o"
        ) from error
    ago = max(0, round((datetime.now(UTC) - looked).total_seconds()))
    if is_held(results):
        yield f"{status.folder} is watched; it was last looked at {ago} s ago"
    else:
        how = "its watcher was cut off" if (results / LOCK).exists() else "its watcher was stopped"
        yield (
            f"{status.folder} is not watched now: {how}; the last look was "
            f"{looked:%Y-%m-%d %H:%M} UTC, and smears stood then as below"
        )
    if status.trouble:
        yield f"trouble: {status.trouble}"
    counts = ", ".join(f"{n} {standing}" for standing, n in sorted(status.counts.items()))
    yield f"smears: {counts or 'none yet'}"
    known = known_from_lines(read_journal(results))
    states = Counter(_word(line.status, known.state(line)) for line in known)
    shown = ", ".join(f"{n} {word}" for word, n in sorted(states.items()))
    yield f"results: {shown or 'none yet'}"
    yield from _to_look_into(known, results)
    problems = [f"{name}: {problem}" for name, problem in sorted(status.problems.items())]
    yield from problems[:_PROBLEMS_NAMED]
    if more := [problem.partition(":")[0] for problem in problems[_PROBLEMS_NAMED:]]:
        yield f"and also: {listed(more)}"


def _to_look_into(known: Known, results: Path) -> Iterator[str]:
    """The current results that a person must do something about."""
    held = sorted({line.case for line in known if known.state(line) == "held"})
    if held:
        how = f"vexas-edge results confirm {shlex.quote(unicode_text(str(results)))} CASE"
        yield f"held until somebody confirms that they are other smears (`{how}`): {listed(held)}"
    flagged = [
        f"{line.case} ({', '.join(known.flags(line))})"
        for line in known
        if known.state(line) == "current" and known.flags(line)
    ]
    if flagged:
        yield f"to look into: {listed(flagged)}"


def _word(status: str, state: str) -> str:
    return status if state == "current" else state
