"""CSV that spreadsheet programs open: where each expects what, and no text that one would run.

Whoever opens a table may split its lines at another character than they were joined with, and then
text in the middle of a field stands at the beginning of one. So no text begins a formula, at its
start or behind any of these characters. That is one way: the text as it was is in the JSON.
"""

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from vexas_edge.choices import DecimalSign
from vexas_edge.text import one_line

# What a spreadsheet program may split lines at.
_SEPARATORS = re.compile("([,;])")  # no text keeps its tabs and line breaks
# What begins a formula. Other forms of these characters, such as full-width ones, count, too.
_FORMULA = "=+-@\N{MINUS SIGN}"
# What a program may take away, or show as nothing, before it looks for a formula.
_PASSED_OVER = set(" \"'`\N{BRAILLE PATTERN BLANK}\u115f\u1160\u3164\uffa0")


@dataclass(frozen=True, kw_only=True)
class CsvForm:
    """How a table is written.

    separator: stands between fields.
    decimal: what stands before the decimals of a number.
    mark: whether the file begins with the mark by which Excel knows UTF-8.
    """

    separator: str = ","
    decimal: DecimalSign = "point"
    mark: bool = False


# As programs read it, and as Excel does where numbers have a decimal comma.
PLAIN = CsvForm()
EXCEL = CsvForm(separator=";", decimal="comma", mark=True)


def csv_from_rows(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], form: CsvForm = PLAIN
) -> bytes:
    """The rows as CSV in UTF-8, without the header."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter=form.separator)
    for row in rows:
        writer.writerow({name: _csv_value(value, form) for name, value in row.items()})
    return text.getvalue().encode()


def header_of(columns: Sequence[str], form: CsvForm = PLAIN) -> bytes:
    """What a table begins with: its first line."""
    line = form.separator.join(columns) + "\r\n"
    return line.encode("utf-8-sig" if form.mark else "utf-8")


def harmless_text(text: str) -> str:
    """The text on one line, with an apostrophe before each part that would begin a formula.

    >>> harmless_text("=1+1; @x, P1 - left")
    "'=1+1;' @x, P1 - left"
    """
    plain = "".join(" " if unicodedata.category(c) == "Zs" or c == "\t" else c for c in text)
    return "".join(
        f"'{part}" if _begins_formula(part) else part for part in _SEPARATORS.split(one_line(plain))
    )


def _begins_formula(part: str) -> bool:
    for character in part:
        if character not in _PASSED_OVER and not unicodedata.category(character).startswith("M"):
            return unicodedata.normalize("NFKC", character).startswith(tuple(_FORMULA))
    return False


def _csv_value(value: Any, form: CsvForm) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return harmless_text(value)
    if isinstance(value, float) and form.decimal == "comma":
        return repr(value).replace(".", ",")
    return value
