"""The table of known slides names each column, case and patient once."""

from pathlib import Path

import pytest

from vexas_edge.commissioning.known import read_known
from vexas_edge.errors import InputError


def test_accents_tell_no_patients_apart(tmp_path: Path) -> None:
    table = tmp_path / "known.csv"
    table.write_text(
        "case,label,patient\nA,VEXAS,Jos\u00e9\nB,VEXAS,Jose\u0301\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="is in line 2, too"):
        read_known(table, ["VEXAS"])


HEADERS = {
    "case,label": "lacks the columns patient; it needs case, label, patient, once each",
    "case,label,patient,Note": "has unknown columns 'note'; it needs case, label, patient",
    "case,label,patient,": "has unknown columns ''; it needs",
    "case,label,patient,Patient": "has several columns 'patient'; it needs",
    "case\tlabel\tpatient": "is separated by tabs; it needs",
    "": "has unknown columns 's1', 'vexas', 'p1'; it needs case, label, patient",
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_table_with_other_columns_is_refused_by_their_names(tmp_path: Path, header: str) -> None:
    table = tmp_path / "known.csv"
    table.write_text(f"{header}\nS1,VEXAS,P1\n")
    with pytest.raises(InputError) as refusal:
        read_known(table, ["VEXAS"])
    assert HEADERS[header] in str(refusal.value)


def test_a_spreadsheet_may_write_semicolons(tmp_path: Path) -> None:
    table = tmp_path / "known.csv"
    table.write_text("case;label;patient\nS1;VEXAS;P1\nS2;negative;P2\n")
    assert read_known(table, ["VEXAS"]) == {"S1": "VEXAS", "S2": "negative"}
