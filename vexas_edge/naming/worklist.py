"""A worklist: a CSV file that says which case the smear at a path is."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.inputs import table_from_csv
from vexas_edge.text import folded

_PATH, _CASE = "path", "case"


def read_worklist(file: Path) -> dict[str, str]:
    """The ids of cases, by the last parts of their paths, folded and with `/`.

    Its columns `path` and `case` are read, separated by commas or semicolons.

    Raises:
        InputError: it cannot be read, lacks a column or a value, or names a path twice.
    """
    ids: dict[str, str] = {}
    for line, path, case in _rows(file):
        if ids.setdefault(path, case) != case:
            raise InputError(f"{file}, line {line}: {path!r} is already the case {ids[path]!r}")
    return ids


def _rows(file: Path) -> Iterator[tuple[int, str, str]]:
    """The line, the path and the case of each row."""
    table = table_from_csv(file, "worklist")
    columns = [name.casefold() for name in table.columns]
    if [columns.count(name) for name in (_PATH, _CASE)] != [1, 1]:
        raise InputError(
            f"worklist {file} needs the columns {_PATH} and {_CASE}, once each; it has {table.has}"
        )
    for line, values in table.rows:
        row = dict(zip(columns, values, strict=False))
        path, case = _normal(row.get(_PATH, "")), row.get(_CASE, "")
        if len(values) > len(columns) or not path or not case:
            raise InputError(
                f"{file}, line {line}: a path and a case are needed, and no more values than there "
                "are columns"
            )
        yield line, path, case


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
