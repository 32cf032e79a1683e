"""Tables that spreadsheet programs open: no text begins a formula, however its line is split."""

import csv
import random
import unicodedata

import pytest

from vexas_edge.results.spreadsheet import EXCEL, PLAIN, csv_from_rows, harmless_text, header_of

FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufe62", "\u2212")
HIDDEN = ("", " ", "\t", "\n", "\r", "\u200b", "\ufeff", "\xa0", "\u3000", "\x00", "\x85", "\u202e")
UNSEEN = ("\u3164", "\u2800", "\u034f", "\ufe0f", '"', "'", "\u2028", "\u2066")


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("before", [*HIDDEN, *UNSEEN])
@pytest.mark.parametrize("separator", ["", "P1,", "P1;", "P1\t", "P1\n"])
def test_no_text_begins_a_formula(formula: str, before: str, separator: str) -> None:
    content = csv_from_rows([{"case": f"{separator}{before}{formula}1"}], ["case"]).decode()
    assert begins_formula(content) == []


def test_no_text_begins_a_formula_whatever_it_is_made_of() -> None:
    drawn = random.Random(5)
    parts = (*FORMULAS, *HIDDEN, *UNSEEN, ",", ";", "a", "1", '""', "''", "\\")
    for _ in range(5_000):
        texts = {name: "".join(drawn.choices(parts, k=6)) for name in "abc"}
        for form in (PLAIN, EXCEL):
            content = csv_from_rows([texts], "abc", form).decode()
            assert begins_formula(content) == [], texts


def begins_formula(content: str) -> list[str]:
    """What begins a formula in any field, with each separator, and with quotes obeyed or not."""
    found = []
    for separator in ",;\t":
        fields = content.replace("\n", separator).replace("\r", separator).split(separator)
        for row in csv.reader(content.splitlines(), delimiter=separator):
            fields += row
        found += [field for field in fields if is_formula(field)]
    return found


def is_formula(field: str) -> bool:
    """Whether a program that takes all that can be taken away would see a formula."""
    seen = "".join(
        c
        for c in unicodedata.normalize("NFKC", field)
        if unicodedata.category(c)[0] not in "ZCM" and c not in '"\u1160\u2800'
    )
    return seen.startswith(("=", "+", "-", "@", "\u2212"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("P1", "P1"),
        ("ward 3 - bed 2", "ward 3 - bed 2"),
        ("a, b; c", "a, b; c"),
        ("a,=b", "a,'=b"),
        ("line\nbreak", "line break"),
        ("M\xfcller\xa0J", "M\xfcller J"),
        ("\u202eP1", "\\u202eP1"),
        ("-", "'-"),
        ("", ""),
    ],
)
def test_a_text_stays_as_readable_as_it_was(text: str, shown: str) -> None:
    assert harmless_text(text) == shown


def test_numbers_stay_numbers() -> None:
    row = {"case": "-1", "score": -0.5, "n_cells": 12, "call": True, "interval_low": 1e-05}
    assert csv_from_rows([row], list(row)) == b"'-1,-0.5,12,true,1e-05\r\n"


def test_excel_gets_its_mark_semicolons_and_decimal_commas() -> None:
    columns = ["case", "score"]
    rows = [{"case": "M\xfcller, 0.5", "score": 0.25}, {"case": "a;b", "score": 1}]
    content = header_of(columns, EXCEL) + csv_from_rows(rows, columns, EXCEL)
    assert content.decode() == '\ufeffcase;score\r\nM\xfcller, 0.5;0,25\r\n"a;b";1\r\n'
