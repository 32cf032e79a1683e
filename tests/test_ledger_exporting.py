"""A table of a results folder for Excel."""

from collections.abc import Callable
from pathlib import Path

import pytest
from test_ledger_folder import filled, scored
from tiny import Ended

from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.ledger.lock import FolderLock

Command = Callable[..., Ended]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path / "results", scored("Müller; =1"), scored("P2, 0.5"))


def test_a_table_for_excel_has_its_mark_semicolons_and_decimal_commas(
    vexas_edge: Command, folder: Path, tmp_path: Path
) -> None:
    ended = vexas_edge("results", "table", folder, "-o", tmp_path / "t.csv", "--csv", "excel")
    assert (ended.status, ended.out) == (0, f"table: {tmp_path / 't.csv'}\n")
    lines = (tmp_path / "t.csv").read_bytes().decode().splitlines()
    assert lines[0].startswith("\ufeffcase;state;answer;status;model;score;interval_low;")
    assert lines[1].startswith('"Müller;\' =1";current;')
    assert ";scored;neutrophil;0,625;0,375;0,875;true;true;0,5;;;12;" in lines[1]
    assert lines[3].startswith("P2, 0.5;current;")
    assert problems_of_folder(folder) == []


def test_a_table_for_switzerland_has_decimal_points(
    vexas_edge: Command, folder: Path, tmp_path: Path
) -> None:
    ended = vexas_edge("results", "table", folder, "-o", tmp_path / "t.csv", "--decimal", "point")
    assert ended.status == 0
    assert ";neutrophil;0.625;0.375;" in (tmp_path / "t.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(("options", "table"), [((), "cases.csv"), (("--cells",), "cells.csv")])
def test_a_plain_table_is_that_of_the_folder_also_while_somebody_writes(
    vexas_edge: Command, folder: Path, tmp_path: Path, options: tuple[str, ...], table: str
) -> None:
    with FolderLock(folder):
        ended = vexas_edge(
            *("results", "table", folder, "-o", tmp_path / "t.csv", "--csv", "plain"), *options
        )
    assert ended.status == 0
    assert (tmp_path / "t.csv").read_bytes() == (folder / table).read_bytes()


def test_a_table_is_not_written_into_the_folder(vexas_edge: Command, folder: Path) -> None:
    ended = vexas_edge("results", "table", folder, "-o", folder / "t.csv")
    assert ended.status == 2
    assert ended.err == (
        f"error: {folder / 't.csv'} lies in the results folder, where other files are not ours to "
        "write; name another place with -o\n"
    )
    assert not (folder / "t.csv").exists()


def test_plain_tables_have_points(vexas_edge: Command, folder: Path, tmp_path: Path) -> None:
    words = ("results", "table", folder, "-o", tmp_path / "t.csv", "--csv", "plain")
    ended = vexas_edge(*words, "--decimal", "comma")
    assert ended.status == 2
    assert ended.err == (
        "error: plain tables have decimal points; leave --decimal out, or --csv plain\n"
    )


def test_a_table_of_no_results_folder_is_refused(vexas_edge: Command, tmp_path: Path) -> None:
    ended = vexas_edge("results", "table", tmp_path, "-o", tmp_path.parent / "t.csv")
    assert ended.status == 5
    assert ended.err.startswith(f"error: {tmp_path} is no results folder: cases/ cannot be listed")
