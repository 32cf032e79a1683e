"""A table of covariates: a CSV file that says what is known of the patient of each case."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.inputs import CsvTable, table_from_csv
from vexas_edge.text import folded, listed

_CASE = "case"
_WHAT = "table"


@dataclass(frozen=True, kw_only=True, slots=True)
class CovariateTable:
    """What is said of cases.

    values: the texts of each case by its folded id, and there by the covariate's name; a text that
    is empty is left out.
    passed_over: the columns that nobody has asked for.
    absent: the covariates that have no column.
    """

    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def read_covariates(
    file: Path, wanted: Collection[str], needed: Collection[str] = ()
) -> CovariateTable:
    """The values in a file with the column `case` and one for each covariate.

    Args:
        wanted: the names of covariates, as the columns have them, capitals aside.
        needed: those of them whose columns must be there.

    Raises:
        InputError: it cannot be read, lacks a column or has one twice, names a case twice, or has a
            row that is longer or shorter than the first one; the message names the line.
    """
    table = table_from_csv(file, _WHAT)
    _check_columns(table, file, needed)
    columns = _folded_columns(table)
    case_at = columns.index(_CASE)
    places = {n: columns.index(n.casefold()) for n in wanted if n.casefold() in columns}
    known_columns = {_CASE, *(name.casefold() for name in places)}
    others = (name for name in table.columns if name and name.casefold() not in known_columns)
    return CovariateTable(
        values=_values(table, file, case_at, places),
        passed_over=tuple(others),
        absent=tuple(name for name in wanted if name not in places),
    )


def _values(
    table: CsvTable, file: Path, case_at: int, places: Mapping[str, int]
) -> dict[str, dict[str, str]]:
    """The values of each case by its folded id. Raises InputError, as `read_covariates`."""
    values: dict[str, dict[str, str]] = {}
    lines: dict[str, int] = {}
    for line, row in table.rows:
        if len(row) != len(table.columns):
            raise InputError(
                f"{file}, line {line}: it has {len(row)} values for {len(table.columns)} columns; "
                "write one for each, and quote a value that holds the separator"
            )
        case = row[case_at]
        if not case:
            raise InputError(f"{file}, line {line}: it names no case; name it, or remove the line")
        if (first := lines.setdefault(folded(case), line)) != line:
            raise InputError(
                f"{file}, line {line}: case {case!r} is in line {first}, too; keep one of them"
            )
        known = {name: row[place] for name, place in places.items() if row[place]}
        values[folded(case)] = known
    return values


def _folded_columns(table: CsvTable) -> list[str]:
    return [name.casefold() for name in table.columns]


def _check_columns(table: CsvTable, file: Path, needed: Collection[str]) -> None:
    """Check that a table has the columns that it must have, and each of them once.

    Raises:
        InputError: it does not; the message names what it has.
    """
    columns = _folded_columns(table)
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise InputError(
            f"{_WHAT} {file} has the column {listed(map(repr, twice))} twice, capitals aside; "
            "remove one of them"
        )
    if _CASE not in columns:
        raise InputError(
            f"{_WHAT} {file} lacks the column {_CASE}, which names each case; it has {table.has}"
        )
    if missing := [name for name in needed if name.casefold() not in columns]:
        raise InputError(
            f"{_WHAT} {file} lacks the column {listed(missing)}, without which there is no score; "
            f"it has {table.has}"
        )
