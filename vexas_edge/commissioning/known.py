"""The table of a site's known slides: a CSV file that says what each case is."""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.text import listed

NEGATIVE = "negative"
_CASE, _LABEL, _PATIENT = "case", "label", "patient"


def read_known(file: Path, classes: Collection[str]) -> dict[str, str]:
    """The label of each case, by its name.

    The columns `case` and `label` are read, separated by commas or semicolons, and `patient` where
    there is one. A label is one of the bundle's classes, or `negative`.

    Raises:
        InputError: it cannot be read, lacks a column or a value, has an unknown label, or names a
            case or a patient twice; the message names the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"table {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"table {file} is not in UTF-8; save it as CSV UTF-8") from error
    known: dict[str, str] = {}
    patients: dict[str, int] = {}
    for line, row in _rows(text, file):
        case, label, patient = row[_CASE], row[_LABEL], row.get(_PATIENT, "")
        if label not in (*classes, NEGATIVE):
            raise InputError(
                f"{file}, line {line}: label {label!r} is unknown; expected one of "
                f"{', '.join(classes)} or {NEGATIVE}"
            )
        if case in known:
            raise InputError(f"{file}, line {line}: case {case!r} is named twice")
        if patient and patients.setdefault(patient, line) != line:
            raise InputError(
                f"{file}, line {line}: patient {patient!r} is in line {patients[patient]}, too; "
                "keep one slide of each patient, since a second one proves nothing new"
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


def _rows(text: str, file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The line and the values of each row; rows without any value are passed over."""
    header = text.partition("\n")[0]
    reader = csv.DictReader(
        StringIO(text, newline=""), delimiter=";" if ";" in header else ",", strict=True
    )
    try:
        reader.fieldnames = [name.strip().casefold() for name in reader.fieldnames or ()]
        if [reader.fieldnames.count(name) for name in (_CASE, _LABEL)] != [1, 1]:
            raise InputError(
                f"table {file} needs the columns {_CASE} and {_LABEL}, once each; its first line "
                f"is {header.strip()[:200]!r}"
            )
        for row in reader:
            if not any(row.values()):
                continue
            values = {name: str(value or "").strip() for name, value in row.items() if name}
            if None in row or not values[_CASE] or not values[_LABEL]:
                raise InputError(
                    f"{file}, line {reader.line_num}: a case and a label are needed, and no more "
                    "values than there are columns"
                )
            yield reader.line_num, values
    except csv.Error as error:
        raise InputError(f"table {file}, line {reader.line_num}: {error}") from error
