"""A table of a results folder as a file elsewhere, in another form than it has there."""

from collections.abc import Iterator
from pathlib import Path

from vexas_edge.errors import HostError, UsageError
from vexas_edge.files import replacing
from vexas_edge.ledger.derived.tables import cases_csv, cells_csv_parts
from vexas_edge.ledger.opening import current_lines
from vexas_edge.ledger.sameness import known_from_lines
from vexas_edge.results.spreadsheet import CsvForm


def export_table(folder: Path, out: Path, form: CsvForm, *, cells: bool = False) -> None:
    """Write the table of results, or that of cells, as it stands; the folder stays as it is.

    Raises:
        UsageError: the file would lie in the results folder.
        InputError: the folder cannot be read, or a result is not what was written.
        HostError: the file cannot be written.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"{out} lies in the results folder, where other files are not ours to write; name "
            "another place with -o"
        )
    if out.is_dir():
        raise HostError(f"{out} is a folder; name a file with -o")
    parts = _parts(folder, form, cells=cells)
    with replacing(out) as partial, partial.open("wb") as stream:
        stream.writelines(parts)


def _parts(folder: Path, form: CsvForm, *, cells: bool) -> Iterator[bytes]:
    lines = current_lines(folder)
    if cells:
        yield from cells_csv_parts(folder, lines, form)
    else:
        yield cases_csv(known_from_lines(lines), form)
