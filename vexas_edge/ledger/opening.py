"""What is looked at when a results folder is opened for writing."""

from contextlib import suppress
from pathlib import Path

from vexas_edge.errors import HostError, InputError
from vexas_edge.ledger.derived import (
    CASES,
    DERIVED,
    RUNS,
    lines_from_files,
    numbered_files,
    read_journal,
)
from vexas_edge.ledger.lines import JournalLine
from vexas_edge.ledger.lock import LOCK


def check_is_ledger(folder: Path) -> None:
    """Check that no other program's tables would be replaced. Raises HostError."""
    if (folder / CASES).is_dir():
        return
    if found := [name for name in DERIVED if (folder / name).exists()]:
        raise HostError(
            f"{folder} holds {found[0]}, but is no results folder of this version; name another "
            "with -o"
        )


def remove_partial_files(folder: Path) -> None:
    """Remove what a run that was cut off has left half-written."""
    for place in (folder, folder / CASES, folder / RUNS):
        for path in place.glob("*.partial"):
            if not path.name.startswith(LOCK):
                with suppress(OSError):
                    path.unlink()


def current_lines(folder: Path) -> list[JournalLine]:
    """A line for each result and record of a folder, in order; files of old lines are not opened.

    Raises:
        InputError: a file is damaged, or one that the journal names has gone.
    """
    files = numbered_files(folder)
    lines = {line.file: line for line in read_journal(folder)}
    if gone := sorted(lines.keys() - files.keys()):
        raise InputError(
            f"{folder / gone[0]} has gone; put it back, or go on without it after "
            f"`vexas-edge results rebuild {folder}`"
        )
    new = lines_from_files(folder, [file for file in files if file not in lines])
    lines |= {line.file: line for line in new}
    return sorted(lines.values(), key=lambda line: line.number)
