"""The page of one result, made anew: that of its results folder, or one to hand on."""

import os
from pathlib import Path

from vexas_edge.commands.console import say
from vexas_edge.errors import InputError, UsageError
from vexas_edge.files import write_atomically
from vexas_edge.ledger.derived.others import Others
from vexas_edge.ledger.derived.pages import page_from_line
from vexas_edge.ledger.lines import CaseLine
from vexas_edge.ledger.opening import current_lines
from vexas_edge.ledger.reading import place_of_result, result_of
from vexas_edge.ledger.sameness import Known, known_from_lines
from vexas_edge.ledger.writing import Ledger
from vexas_edge.naming.hashing import read_key
from vexas_edge.report.page import cells_on_page, maker_of
from vexas_edge.report.pictures import Pictures, pictures_from_smear


def kept_page(result: Path, smear: Path | None, *, pictured: bool) -> Path:
    """Write the page of a result into its results folder.

    Args:
        smear: its folder or zip, if there are to be pictures.
        pictured: whether there are, unless the result is of a table.

    Raises:
        UsageError: pictures are asked for, and no smear is named.
        InputError: one of them cannot be read, or the smear is not that of the result.
        HostError: the folder cannot be written.
    """
    folder, file = place_of_result(result)
    with Ledger(folder, say=say) as ledger:
        line = _line_of(file, folder, ledger.known)
        ledger.add_page(line, _pictures(line, folder, smear, pictured=pictured))
    return folder / ledger.pages.path_of(line)


def page_to_hand_on(
    out: Path, result: Path, smear: Path | None, hash_ids: Path | None, *, pictured: bool
) -> Path:
    """Write the page of a result elsewhere; its results folder stays as it is.

    Args:
        smear, pictured: as `kept_page` has them.
        hash_ids: a file with a key, under which ids are hashed on the page.

    Raises:
        UsageError: as `kept_page`; the key cannot be used; the page would lie there.
        InputError, HostError: as `kept_page`.
    """
    folder, file = place_of_result(result)
    if Path(os.path.realpath(out)).is_relative_to(folder):
        raise UsageError(
            f"{out} lies in the results folder, where other files are not ours to write; name "
            "another place, or leave -o out"
        )
    if out.exists() and not (out.is_file() and maker_of(out.read_bytes())):
        raise UsageError(f"{out} is there already, and is no page; name another place with -o")
    key = read_key(hash_ids) if hash_ids else None
    known = known_from_lines(current_lines(folder))
    line = _line_of(file, folder, known)
    pictures = _pictures(line, folder, smear, pictured=pictured)
    others = Others(known).of(line)
    write_atomically(out, page_from_line(folder, line, known, others, pictures, key))
    return out


def _line_of(file: str, folder: Path, known: Known) -> CaseLine:
    for line in known:
        if line.file == file:
            return line
    raise InputError(f"{folder / file} is not among the results of {folder}")


def _pictures(
    line: CaseLine, folder: Path, smear: Path | None, *, pictured: bool
) -> Pictures | None:
    result = result_of(folder, line)
    if smear and not result.of_table:
        return pictures_from_smear(cells_on_page(result), smear)
    if smear:
        raise UsageError(f"{folder / line.file} is of a table, which has no pictures; name none")
    if pictured and not result.of_table:
        raise UsageError("name the smear with --input, or leave all pictures out with --no-images")
    return None
