"""The table of a site's known slides: a CSV file that says what each is, and whose."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.inputs import table_from_csv
from vexas_edge.text import folded, listed

NEGATIVE = "negative"
_CASE, _LABEL, _PATIENT = _COLUMNS = "case", "label", "patient"
_LONGEST_COLUMN = 60  # in a message


def read_known(file: Path, classes: Collection[str]) -> dict[str, str]:
    """The label of each case, by its name.

    The table has the columns `case`, `label` and `patient`, separated by commas or semicolons. A
    label is one of the bundle's classes, or `negative`. Each patient has one slide.

    Raises:
        InputError: it cannot be read, has other columns, lacks a value, has an unknown label, or
            names a case or a patient twice; the message names the line.
    """
    known: dict[str, str] = {}
    patients: dict[str, int] = {}
    for line, row in _rows(file):
        case, label, patient = (row[column] for column in _COLUMNS)
        if label not in (*classes, NEGATIVE):
            raise InputError(
                f"{file}, line {line}: label {label!r} is unknown; expected one of "
                f"{', '.join(classes)} or {NEGATIVE}"
            )
        if case in known:
            raise InputError(f"{file}, line {line}: case {case!r} is named twice")
        if (first := patients.setdefault(folded(patient), line)) != line:
            raise InputError(
                f"{file}, line {line}: patient {patient!r} is in line {first}, too; keep one slide "
                "of each patient, since a second one proves nothing new"
            )
        known[case] = label
    if not known:
        raise InputError(f"{file} has no row below its header")
    return known


def check_all_known(known: Mapping[str, str], found: Sequence[str], file: Path) -> None:
    """Check that the table's cases are those that were found.

    Raises:
        InputError: they are not.
    """
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise InputError(f"several cases have the same name: {listed(map(repr, twice))}")
    if lost := [name for name in known if name not in found]:
        raise InputError(
            f"{file} names {len(lost)} cases that were not found: {listed(map(repr, lost))}; "
            f"found were {listed(map(repr, found))}"
        )
    if unknown := [name for name in found if name not in known]:
        raise InputError(
            f"{len(unknown)} cases are not in {file}: {listed(map(repr, unknown))}; add them with "
            "what they are, or take them out of the folder"
        )


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The line and the values of each row."""
    table = table_from_csv(file, "table")
    columns = [name.casefold()[:_LONGEST_COLUMN] for name in table.columns]
    _check_columns(columns, file)
    for line, values in table.rows:
        if len(values) != len(columns) or not all(values):
            raise InputError(
                f"{file}, line {line}: a case, a label and a patient are needed, and nothing else"
            )
        yield line, dict(zip(columns, values, strict=True))


def _check_columns(columns: Sequence[str], file: Path) -> None:
    """Check that the table has each column once, and no other.

    Raises:
        InputError: it does not; the message names what is wrong.
    """
    needed = f"it needs {', '.join(_COLUMNS)}, once each, separated by commas or semicolons"
    if len(columns) == 1 and "\t" in columns[0]:
        raise InputError(f"table {file} is separated by tabs; {needed}")
    if twice := [name for name, n in Counter(columns).items() if n > 1]:
        raise InputError(f"table {file} has several columns {listed(map(repr, twice))}; {needed}")
    if unknown := [name for name in columns if name not in _COLUMNS]:
        raise InputError(f"table {file} has unknown columns {listed(map(repr, unknown))}; {needed}")
    if missing := [name for name in _COLUMNS if name not in columns]:
        raise InputError(f"table {file} lacks the columns {', '.join(missing)}; {needed}")
