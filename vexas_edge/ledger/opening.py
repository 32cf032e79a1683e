"""What is looked at when a results folder is opened for writing."""

from collections.abc import Sequence
from pathlib import Path

from vexas_edge.errors import HostError, InputError, UsageError
from vexas_edge.files import remove_partials
from vexas_edge.ledger.journal import record_from_json
from vexas_edge.ledger.lines import JournalLine
from vexas_edge.ledger.lock import LOCK
from vexas_edge.ledger.reading import (
    CASES,
    DERIVED,
    PAGE_FOLDERS,
    RUNS,
    WATCH,
    is_numbered,
    lines_from_files,
    numbered_files,
    read_journal,
    read_numbered,
)
from vexas_edge.ledger.runs import RunStarted
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


def check_ids_alike(folder: Path, lines: Sequence[JournalLine], mark: str) -> None:
    """Check that ids in a folder are hashed as in its last run.

    Args:
        lines: of the folder.
        mark: as `Asked.hash_ids` has it.

    Raises:
        UsageError: they are not.
        InputError: the record of that run cannot be read.
    """
    files = [line.file for line in lines if line.file.startswith(RUNS)]
    started = [file for file in files if file.endswith("-started.json")]
    if not started:
        return
    record = record_from_json(started[-1], read_numbered(folder, started[-1]))
    if isinstance(record, RunStarted) and record.asked.hash_ids != mark:
        how = "hashed, maybe with another key" if record.asked.hash_ids else "not hashed"
        raise UsageError(
            f"ids in {folder} are {how}, and two ways in one folder would tell whose they are; "
            "name another with -o, or ask for ids as before"
        )


def remove_partial_files(folder: Path) -> None:
    """Remove what a run that was cut off has left half-written, in a folder that is ours."""
    remove_partials(folder, {*DERIVED, WATCH}.__contains__, unused_seconds=0.0)
    remove_partials(folder, LOCK.__eq__)  # which others, who want the folder, may be writing
    for room in (CASES, RUNS, *PAGE_FOLDERS):
        remove_partials(folder / room, is_numbered, unused_seconds=0.0)


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
