"""What is looked at when a results folder is opened for writing."""

from contextlib import suppress
from pathlib import Path

from vexas_edge.errors import HostError, InputError
from vexas_edge.ledger.derived import (
    CASES,
    DERIVED,
    RUNS,
    WATCH,
    is_numbered,
    lines_from_files,
    numbered_files,
    read_journal,
)
from vexas_edge.ledger.lines import JournalLine
from vexas_edge.smear.walk import is_folder, is_there


def check_is_ledger(folder: Path) -> None:
    """Check that no other program's tables would be replaced. Raises HostError."""
    if is_folder(folder / CASES) and is_folder(folder / RUNS):
        return
    found = [name for name in DERIVED if is_there(folder / name)]
    found += [name for name in (CASES, RUNS) if any((folder / name).glob("*"))]
    if found:
        raise HostError(
            f"{folder} holds {found[0]}, but is no results folder of this version; name another "
            "with -o"
        )


def remove_partial_files(folder: Path) -> None:
    """Remove what a run that was cut off has left half-written."""
    ours = [folder / f"{name}.partial" for name in (*DERIVED, WATCH)]
    for room in (folder / CASES, folder / RUNS):
        ours += [path for path in room.glob("*.partial") if is_numbered(path.stem)]
    for path in ours:
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
    return [lines[file] for file in files]
