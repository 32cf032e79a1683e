"""A worklist: a CSV file that says which case the smear at a path is."""

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.inputs import text_of_table
from vexas_edge.text import folded

_PATH, _CASE = "path", "case"


def read_worklist(file: Path) -> dict[str, str]:
    """The ids of cases, by the last parts of their paths, folded and with `/`.

    Its columns `path` and `case` are read, separated by commas or semicolons.

    Raises:
        InputError: it cannot be read, lacks a column or a value, or names a path twice.
    """
    text = text_of_table(file, "worklist")
    ids: dict[str, str] = {}
    for line, path, case in _rows(text, file):
        if ids.setdefault(path, case) != case:
            raise InputError(f"{file}, line {line}: {path!r} is already the case {ids[path]!r}")
    return ids


def _rows(text: str, file: Path) -> Iterator[tuple[int, str, str]]:
    """The line, the path and the case of each row; rows without any value are passed over."""
    header = text.partition("\n")[0]
    stream = StringIO(text, newline="")
    reader = csv.DictReader(stream, delimiter=";" if ";" in header else ",", strict=True)
    try:
        reader.fieldnames = [name.strip().casefold() for name in reader.fieldnames or ()]
        if [reader.fieldnames.count(name) for name in (_PATH, _CASE)] != [1, 1]:
            raise InputError(
                f"worklist {file} needs the columns {_PATH} and {_CASE}, once each; its first line "
                f"is {header.strip()!r}"
            )
        for row in reader:
            if not any(row.values()):
                continue
            path, case = (str(row[name] or "").strip() for name in (_PATH, _CASE))
            path = _normal(path)
            if None in row or not path or not case:
                raise InputError(
                    f"{file}, line {reader.line_num}: a path and a case are needed, and no more "
                    "values than there are columns"
                )
            yield reader.line_num, path, case
    except csv.Error as error:
        raise InputError(f"worklist {file}, line {reader.reader.line_num}: {error}") from error


def _normal(path: str) -> str:
    """A path as `case_on_worklist` looks for it."""
    parts = folded(path.replace("\\", "/").strip("/")).removesuffix(".zip").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def case_on_worklist(ids: Mapping[str, str], path: str) -> str | None:
    """The case of the smear at a path with `/`: the one that the most of its last parts name.

    >>> case_on_worklist({"day 1/slide": "B12", "slide": "B9"}, "/exports/day 1/Slide")
    'B12'
    """
    parts = folded(path).split("/")
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((ids[tail] for tail in tails if tail in ids), None)
