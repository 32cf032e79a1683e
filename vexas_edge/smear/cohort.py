"""cohort.csv, the table of labelled cases: the one place that reads and checks it."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.inputs import text_of_table
from vexas_edge.smear.case import Case
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import read_case

REQUIRED_COLUMNS = ("patient", "sample", "path", "label", "split")


@dataclass(frozen=True, kw_only=True, slots=True)
class CohortCase:
    """One row: a sample of a patient.

    path: the sample's case; relative paths are resolved from the cohort file's folder.
    covariates: all further columns, as text.
    written: where the row stands, for messages; it is not compared.
    """

    patient: str
    sample: str
    path: Path
    label: str
    split: str
    covariates: dict[str, str] = field(default_factory=dict)
    written: str = field(default="cohort", compare=False)


def read_cohort(path: str | os.PathLike[str]) -> tuple[CohortCase, ...]:
    """The rows of a cohort file, in its order; rows without any value are passed over.

    Raises:
        InputError: it cannot be read, lacks a column or a value, names a sample or a path twice, or
            puts one patient into two splits or under two labels; the message names the line.
    """
    path = Path(path)
    reader = csv.DictReader(StringIO(text_of_table(path, "cohort"), newline=""), strict=True)
    try:
        reader.fieldnames = _columns(reader.fieldnames or (), path)
        written = ((reader.line_num, row) for row in reader)
        rows = [(line, _case(row, path, line)) for line, row in written if _is_given(row)]
    except csv.Error as error:
        raise InputError(f"cohort {path}, line {reader.reader.line_num}: {error}") from error
    if not rows:
        raise InputError(f"{path} has no row below its header")
    _check_once(rows, "sample", path)
    _check_once(rows, "path", path)
    _check_one_each(rows, "split", path)
    _check_one_each(rows, "label", path)
    return tuple(case for _, case in rows)


def read_row(row: CohortCase, options: ReadOptions | None = None) -> Case:
    """The case of a row, as `read_case` reads it.

    Raises:
        InputError: it is missing or cannot be read; the message names the cohort's line.
    """
    try:
        return read_case(row.path, options)
    except InputError as error:
        raise InputError(f"{row.written}: {error}") from error


def cases_of_split(rows: Sequence[CohortCase], split: str) -> tuple[CohortCase, ...]:
    """The rows of one split.

    Raises:
        InputError: there is no such row; the message names the splits that exist.
    """
    chosen = tuple(row for row in rows if row.split == split)
    if not chosen:
        splits = ", ".join(sorted({row.split for row in rows}))
        raise InputError(f"the cohort has no case in the split {split!r}; its splits are {splits}")
    return chosen


def _columns(header: Sequence[str], path: Path) -> list[str]:
    columns = [name.strip() for name in header]
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if missing:
        raise InputError(
            f"{path} lacks the columns {', '.join(missing)}; its header is "
            f"{','.join(columns)!r}, whose names must be separated by commas"
        )
    twice = [name for name, n in Counter(columns).items() if n > 1]
    if twice:
        raise InputError(f"{path} has the column {twice[0]!r} twice; rename one")
    return columns


def _is_given(row: Mapping[str, object]) -> bool:
    """Whether there is any value in a row; spreadsheet programs write some with none at the end."""
    return any(str(value or "").strip() for value in row.values())


def _case(row: dict[str, str | None], path: Path, line: int) -> CohortCase:
    if None in row or None in row.values():
        raise InputError(
            f"{path}, line {line}: the number of values differs from the number of columns"
        )
    values = {name: (value or "").strip() for name, value in row.items()}
    empty = [name for name in REQUIRED_COLUMNS if not values[name]]
    if empty:
        raise InputError(f"{path}, line {line}: no value for {', '.join(empty)}")
    return CohortCase(
        patient=values["patient"],
        sample=values["sample"],
        path=_place(path.parent, values["path"]),
        label=values["label"],
        split=values["split"],
        covariates={n: v for n, v in values.items() if n not in REQUIRED_COLUMNS},
        written=f"{path}, line {line}",
    )


def _place(folder: Path, written: str) -> Path:
    """Where a sample lies, in one spelling; a path that was written on Windows is found, too."""
    found = folder / written
    if os.sep != "\\" and "\\" in written and not found.exists():
        found = folder / written.replace("\\", "/")
    return Path(os.path.normpath(found))


def _check_once(rows: Iterable[tuple[int, CohortCase]], column: str, path: Path) -> None:
    first: dict[object, int] = {}
    for line, case in rows:
        value = getattr(case, column)
        if first.setdefault(value, line) != line:
            raise InputError(
                f"{path}, line {line}: {column} {str(value)!r} is already in line {first[value]}"
            )


def _check_one_each(rows: Iterable[tuple[int, CohortCase]], column: str, path: Path) -> None:
    of_patient: dict[str, str] = {}
    for line, case in rows:
        value = getattr(case, column)
        other = of_patient.setdefault(case.patient, value)
        if other != value:
            raise InputError(
                f"{path}, line {line}: patient {case.patient!r} has two {column}s, "
                f"{other!r} and {value!r}"
            )
