"""A results folder: written once, synced, and made again from what was written."""

import csv
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tiny import case_files, kept, recorded

from vexas_edge import files
from vexas_edge.errors import HostError, InputError, UsageError
from vexas_edge.files import HeldFileError, write_atomically
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.ledger.derived.rebuilding import rebuild_tables
from vexas_edge.ledger.derived.tables import Tables
from vexas_edge.ledger.lines import CaseLine, marks_from_identities
from vexas_edge.ledger.reading import DERIVED, numbered_files
from vexas_edge.ledger.runs import Asked
from vexas_edge.ledger.sameness import known_from_lines
from vexas_edge.ledger.smears import Placing, Smear, content_of, key_of, series_of
from vexas_edge.ledger.writing import Ledger
from vexas_edge.results.names import check_distinct, file_stem_for_case, numbered_name
from vexas_edge.results.spreadsheet import harmless_text
from vexas_edge.results.tables import CASE_COLUMNS, CELL_COLUMNS
from vexas_edge.results.values import NOTICE, BundleId, CaseScore, ModelScore, UsedCell
from vexas_edge.version import __version__

NAMES = [
    "P1",
    "P 1",
    "Müller, Jörg",
    'a "quoted" name',
    "a:b",
    "a/b",
    "a\\b",
    "a*?<>|b",
    "CON",
    "con.2",
    "LPT1",
    "COM\xb9",
    "CONOUT$",
    "x.",
    "x ",
    "..",
    "",
    "100%",
    "%TEMP%!x!^a&b",
    "\u202egnp.1P",
    "P1\u200b",
    "P\xa01",
    "/FFF",
    "~2FFFF",
    "tab\tand\nline",
    "患者" * 60,
    "😀" * 100,
    "y" * 400,
    "y" * 399 + "z",
]

_DEVICES = ("CON", "PRN", "AUX", "NUL", "COM", "LPT", "CONIN$", "CONOUT$")


def scored(case: str = "P1", **fields: Any) -> CaseScore:
    cells = (
        UsedCell(
            path="neutrophil/=1.png",
            cell_class="neutrophil",
            status="used",
            identity="cd" * 32,
            sha256="ab" * 32,
        ),
        UsedCell(
            path="neutrophil/2.png",
            cell_class="neutrophil",
            status="unreadable",
            reason="empty_file",
            detail="the file is empty",
        ),
    )
    models = (
        ModelScore(
            model="neutrophil",
            status="scored",
            threshold=0.5,
            n_cells=12,
            minimum_cells=10,
            n_draws=200,
            score=0.625,
            standard_error=0.01,
            interval_low=0.375,
            interval_high=0.875,
            draws_low=0.25,
            draws_high=0.75,
            share_over_threshold=0.875,
            call=True,
            call_uncertain=True,
            cells=cells,
        ),
        ModelScore(
            model="monocyte",
            status="abstained",
            threshold=0.5,
            n_cells=1,
            minimum_cells=10,
            reasons=("too_few_cells", "out_of_domain"),
        ),
    )
    return CaseScore(
        case=case,
        status="scored",
        notice=NOTICE,
        models=models,
        unreadable=cells[1:],
        bundle=BUNDLE,
        **fields,
    )


def failed(case: str) -> CaseScore:
    return CaseScore(case=case, status="failed", notice=NOTICE, error="=no cells", bundle=BUNDLE)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def only_partial(folder: Path) -> Path:
    (found,) = folder.glob("*.partial")
    return found


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


BUNDLE = BundleId(name="b", version="1", sha256="0" * 64, positive="VEXAS", synthetic=True)
ASKED = Asked(
    cases=("P1",),
    bundle="b.vxb",
    out="out",
    recursive=False,
    layout="auto",
    class_from="folder",
    engine="auto",
    device="auto",
    precision="auto",
    polite=False,
    again=False,
    as_json=False,
    pages="none",
)
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def smear_of(score: CaseScore) -> Smear:
    """What is known of the smear of such a result."""
    cells = [cell for model in score.models for cell in model.cells]
    series = series_of(BUNDLE.sha256, __version__)
    if score.status == "failed":
        return Smear(given=score.case, series=series, stamp="0" * 64)
    return Smear(
        given=score.case,
        series=series,
        stamp="0" * 64,
        content=content_of(((c.path, c.cell_class, c.sha256) for c in cells), {}),
        key=key_of(series, cells, {}),
        marks=marks_from_identities(cell.identity for cell in cells),
    )


def add(ledger: Ledger, score: CaseScore) -> CaseLine:
    return ledger.add(score, smear_of(score), Placing(case=score.case))


def filled(folder: Path, *scores: CaseScore, then: BaseException | None = None) -> Path:
    """The folder after a run with these results, which ends with the error `then`, if any."""
    with Ledger(folder) as ledger:
        ledger.start(ASKED, BUNDLE, STARTED)
        for score in scores:
            add(ledger, score)
        if then:
            raise then
        ledger.end(None, known=0)
    return folder


@pytest.mark.parametrize("case", NAMES)
def test_every_case_name_becomes_a_file_that_every_system_takes(tmp_path: Path, case: str) -> None:
    stem = file_stem_for_case(case)
    assert not set(stem) & set('<>:"/\\|?*%!^&')
    assert stem.isprintable()
    assert stem[-1] not in ". "
    assert not stem.split(".")[0].upper().startswith(_DEVICES)
    assert (
        len(f"{numbered_name(1, case)}.{'0' * 12}.partial".encode()) <= 143
    )  # the least of any file system in use
    (tmp_path / f"{stem}.json").write_text("x")
    assert files_in(tmp_path) == [f"{stem}.json"]


def test_different_cases_get_different_files() -> None:
    assert len({file_stem_for_case(case) for case in NAMES}) == len(NAMES)
    assert file_stem_for_case("a:b") != file_stem_for_case("a~3Ab")


def test_plain_names_stay_readable() -> None:
    assert file_stem_for_case("Müller, Jörg 2021-03-04") == "Müller, Jörg 2021-03-04"
    assert file_stem_for_case("day 1/P1") == "day 1~2FP1"


@pytest.mark.parametrize(("first", "second"), [("P1", "P1"), ("P1", "p1"), ("Ä", "ä")])
def test_two_cases_with_one_name_are_refused(first: str, second: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_distinct(["P0", first, second])
    assert str(refused.value) == (
        f"two cases have the same name, {first!r} and {second!r}, and one result would replace the "
        "other; rename one, or score them separately"
    )


def test_names_that_windows_tells_apart_are_not_refused() -> None:
    check_distinct(["P1", "P2", "straße", "strasse", "a:b", "a~3Ab"])


def test_cases_csv_has_a_row_for_each_model(tmp_path: Path) -> None:
    table = rows(filled(tmp_path, scored(), failed("P2")) / "cases.csv")
    assert tuple(table[0]) == CASE_COLUMNS
    of_bundle = {"bundle": "b 1", "bundle_sha256": "0" * 64}
    empty = {**dict.fromkeys(CASE_COLUMNS, ""), **of_bundle}
    first = {"state": "current", "answer": "drawn", "file": "cases/000002-P1.json"}
    assert table == [
        {
            **empty,
            **first,
            **{"case": "P1", "status": "scored", "model": "neutrophil", "score": "0.625"},
            **{
                "standard_error": "0.01",
                "interval_low": "0.375",
                "interval_high": "0.875",
                "draws_low": "0.25",
                "draws_high": "0.75",
                "n_cells": "12",
                "n_typed": "0",
                "typing_unjudged": "false",
                "n_unreadable": "0",
                "n_rejected": "0",
            },
            **{"call": "true", "call_uncertain": "true", "threshold": "0.5"},
            **{"share_over_threshold": "0.875", "case_status": "scored", "notice": NOTICE},
        },
        {
            **empty,
            **first,
            **{"case": "P1", "status": "abstained", "model": "monocyte", "n_cells": "1"},
            **{"n_typed": "0", "typing_unjudged": "false"},
            **{"n_unreadable": "0", "n_rejected": "0"},
            **{"reasons": "too_few_cells;out_of_domain", "threshold": "0.5"},
            **{"case_status": "scored", "notice": NOTICE},
        },
        {
            **empty,
            **{"state": "failed", "answer": "failed", "file": "cases/000003-P2.json"},
            **{"case": "P2", "status": "failed", "case_status": "failed", "notice": NOTICE},
            "error": "'=no cells",
        },
    ]


def test_cells_csv_has_a_row_for_each_cell_of_each_model(tmp_path: Path) -> None:
    table = rows(filled(tmp_path, scored(), failed("P2")) / "cells.csv")
    hashes = {"identity": "cd" * 32, "sha256": "ab" * 32}
    shared = {**dict.fromkeys(CELL_COLUMNS, ""), "case": "P1", "file": "cases/000002-P1.json"}
    shared |= {"model": "neutrophil", "class": "neutrophil", "named_by": "folder"}
    assert table == [
        {**shared, **hashes, "cell": "neutrophil/=1.png", "status": "used"},
        {
            **shared,
            **{"cell": "neutrophil/2.png", "status": "unreadable", "reason": "empty_file"},
        },
    ]
    assert tuple(table[0]) == CELL_COLUMNS


def test_a_result_holds_its_cells_and_how_it_stands(tmp_path: Path) -> None:
    written = kept(filled(tmp_path, scored(lead="neutrophil")), "P1")
    assert (written["case"], written["status"], written["schema_version"]) == ("P1", "scored", 9)
    assert written["models"][0]["cells"][0]["path"] == "neutrophil/=1.png"
    assert written["entry"]["number"] == 2
    assert recorded(tmp_path, "started")["number"] == written["entry"]["run"] == 1
    assert recorded(tmp_path, "ended")["results"] == [2]


@pytest.mark.parametrize("name", ["=SUM(A1)", "+1", "-1", "@x", "P1;=A1"])
def test_a_name_that_a_spreadsheet_would_run_is_quoted(tmp_path: Path, name: str) -> None:
    shown = rows(filled(tmp_path, failed(name)) / "cases.csv")[0]["case"]
    assert shown == ("P1;'=A1" if ";" in name else f"'{name}")
    assert kept(tmp_path, name)["case"] == name


@pytest.mark.parametrize("name", ["a, b", 'say "a"', "ä é 中", "line\nbreak", *NAMES])
def test_awkward_names_survive(tmp_path: Path, name: str) -> None:
    filled(tmp_path, scored(name))
    assert rows(tmp_path / "cases.csv")[0]["case"] == harmless_text(name)
    (written,) = (tmp_path / "cases").iterdir()
    assert json.loads(written.read_text(encoding="utf-8"))["case"] == name
    assert problems_of_folder(tmp_path) == []


def test_how_long_a_run_took_does_not_go_by_the_time_of_day(tmp_path: Path) -> None:
    filled(tmp_path, scored())
    assert recorded(tmp_path, "started")["started"] == STARTED.isoformat(timespec="seconds")
    assert 0 <= recorded(tmp_path, "ended")["seconds"] < 60  # and not since STARTED


def test_a_result_and_its_rows_are_there_before_the_run_ends(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.start(ASKED, BUNDLE, STARTED)
        add(ledger, scored())
        assert kept(tmp_path, "P1")["case"] == "P1"
        assert len(rows(tmp_path / "cases.csv")) == len(rows(tmp_path / "cells.csv")) == 2
    assert case_files(tmp_path) == ["P1"]


def test_a_run_without_a_result_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no such device"):
        filled(tmp_path, then=HostError("no such device"))
    assert files_in(tmp_path) == ["cases", *sorted(DERIVED), "runs"]
    assert not files_in(tmp_path / "runs")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_breaks_off_keeps_what_was_done(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    with pytest.raises(kind):
        filled(tmp_path, scored(), then=kind())
    assert [row["model"] for row in rows(tmp_path / "cases.csv")] == ["neutrophil", "monocyte"]
    assert problems_of_folder(tmp_path) == []


def test_a_second_run_adds_to_the_first(tmp_path: Path) -> None:
    first = {path: path.read_bytes() for path in filled(tmp_path, scored("P1")).rglob("*.json")}
    filled(tmp_path, failed("P2"))
    assert {path: path.read_bytes() for path in first} == first
    assert [row["case"] for row in rows(tmp_path / "cases.csv")] == ["P1", "P1", "P2"]
    assert problems_of_folder(tmp_path) == []


def test_what_is_derived_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    filled(tmp_path, scored("P1"), failed("P2"))
    filled(tmp_path, scored("P3"))
    derived = {name: (tmp_path / name).read_bytes() for name in DERIVED}
    for name in DERIVED:
        (tmp_path / name).unlink()
    rebuild_tables(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in DERIVED} == derived
    (tmp_path / "journal.jsonl").write_bytes(derived["journal.jsonl"][:-40])
    (tmp_path / "cells.csv").unlink()
    filled(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in DERIVED} == derived


def test_a_result_that_was_changed_is_not_taken_for_what_was_written(tmp_path: Path) -> None:
    filled(tmp_path, scored("P1"), failed("P2"))
    path = tmp_path / "cases" / "000002-P1.json"
    content, derived = path.read_bytes(), {n: (tmp_path / n).read_bytes() for n in DERIVED}
    path.write_bytes(content.replace(b"0.625", b"0.125"))
    assert path.read_bytes() != content
    with pytest.raises(InputError, match=r"000002-P1\.json: not what was written"):
        rebuild_tables(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in DERIVED} == derived
    (tmp_path / "journal.jsonl").unlink()  # on purpose, as the message says
    rebuild_tables(tmp_path)
    assert problems_of_folder(tmp_path) == []


def test_any_byte_that_is_changed_is_found_and_its_file_named(tmp_path: Path) -> None:
    filled(tmp_path, scored("P1"), failed("P2"))
    assert problems_of_folder(tmp_path) == []
    for path in filter(Path.is_file, tmp_path.rglob("*")):
        content = path.read_bytes()
        for place in range(0, len(content), 97):
            changed = bytearray(content)
            changed[place] ^= 1
            path.write_bytes(changed)
            problems = problems_of_folder(tmp_path)
            assert any(path.name in problem for problem in problems), (path, place, problems)
        path.write_bytes(content)
    assert problems_of_folder(tmp_path) == []


def test_any_file_that_is_removed_or_added_is_found_and_named(tmp_path: Path) -> None:
    filled(tmp_path, scored("P1"), failed("P2"))
    for path in filter(Path.is_file, tmp_path.rglob("*")):
        content = path.read_bytes()
        path.unlink()
        assert any(path.name in problem for problem in problems_of_folder(tmp_path))
        path.write_bytes(content)
        added = path.with_name(path.name.replace("0000", "0010") + "x" * (path.suffix != ".json"))
        added.write_bytes(content)
        if added != path:
            assert any(added.name in problem for problem in problems_of_folder(tmp_path))
            added.unlink()
    (tmp_path / "cases" / "000009-P9.json").write_bytes(b"{}")
    assert problems_of_folder(tmp_path) == ["cases/000009-P9.json is not in journal.jsonl"]


def test_a_result_that_has_gone_is_asked_for(tmp_path: Path) -> None:
    filled(tmp_path, scored("P1"), scored("P2"))
    gone = tmp_path / "cases" / "000002-P1.json"
    content = gone.read_bytes()
    gone.unlink()
    with pytest.raises(InputError, match=r"000002-P1\.json has gone; put it back, or go on"):
        Ledger(tmp_path)
    gone.write_bytes(content)
    filled(tmp_path)
    gone.unlink()
    rebuild_tables(tmp_path)
    assert [row["case"] for row in rows(filled(tmp_path) / "cases.csv")] == ["P2", "P2"]


def test_a_folder_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("mine")
    with pytest.raises(HostError, match=r"holds cases\.csv, but is no results folder"):
        Ledger(tmp_path)
    assert (tmp_path / "cases.csv").read_text() == "mine"


def test_what_a_run_that_was_cut_off_left_half_written_is_removed(tmp_path: Path) -> None:
    filled(tmp_path, scored("P1"))
    (tmp_path / "cases" / "000004-P2.json.0123456789ab.partial").write_bytes(b"{")
    (tmp_path / "cases.csv.0123456789ab.partial").write_bytes(b"case")
    (tmp_path / "cases.csv.ba9876543210.partial").symlink_to("cases.csv")
    old = tmp_path / "lock.json.0123456789ab.partial"
    old.write_bytes(b"{")
    os.utime(old, (0, 0))
    assert problems_of_folder(tmp_path) == []
    filled(tmp_path)
    assert not list(tmp_path.rglob("*.partial"))


def test_an_interruption_while_a_file_is_written_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    write_atomically(tmp_path / "a", b"old")
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_writing_is_whole_or_not_at_all(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"old")
    write_atomically(tmp_path / "a", b"new")
    assert files_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["missing/a", "file/a"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(HostError) as refused:
        write_atomically(tmp_path / name, b"x")
    assert str(refused.value).startswith(f"{tmp_path / name} cannot be written: N")
    assert files_in(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_results_folder_that_cannot_be_made_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(HostError) as refused:
        Ledger(tmp_path / name)
    assert str(refused.value).startswith(f"results folder {tmp_path / name} cannot be written: ")
    assert (tmp_path / "file").read_text() == "x"


Refusals = dict[str, int]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Refusals:
    """File names whose replacement is refused so many times, as Windows does for an open file."""
    refusals: Refusals = {}
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if refusals.get(target.name, 0) > 0:
            refusals[target.name] -= 1
            raise PermissionError(13, "Permission denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(files, "_RETRY_SECONDS", (0.0, 0.0))
    return refusals


def test_a_file_held_open_for_a_moment_is_tried_again(tmp_path: Path, held: Refusals) -> None:
    held["cases.csv"] = 2
    filled(tmp_path, scored())
    assert problems_of_folder(tmp_path) == []
    assert held == {"cases.csv": 0}


def test_a_file_held_open_for_good_is_reported_and_its_new_content_kept(
    tmp_path: Path, held: Refusals
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    held["a"] = 9
    with pytest.raises(HeldFileError) as refused:
        write_atomically(tmp_path / "a", b"new")
    assert str(refused.value) == (
        f"{tmp_path / 'a'} cannot be replaced (Permission denied): is it open in another program? "
        f"The new content is in {only_partial(tmp_path)}"
    )
    assert (tmp_path / "a").read_bytes() == b"old"
    assert only_partial(tmp_path).read_bytes() == b"new"


def test_of_contents_that_could_not_take_a_files_name_only_the_last_is_kept(
    tmp_path: Path, held: Refusals
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    for content in (b"1", b"2"):
        held["a"] = 9
        with pytest.raises(HeldFileError):
            write_atomically(tmp_path / "a", content)
        assert only_partial(tmp_path).read_bytes() == content
    held["a"] = 0
    write_atomically(tmp_path / "a", b"3")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"3"


@pytest.mark.parametrize("name", DERIVED)
def test_a_table_that_is_held_open_loses_no_result_and_is_mended_later(
    tmp_path: Path, held: Refusals, name: str
) -> None:
    held[name] = 9
    with pytest.raises(HostError, match="is it open in another program"):
        filled(tmp_path, scored("P1"), scored("P2"))
    assert case_files(tmp_path) == ["P1", "P2"]
    held.clear()
    filled(tmp_path)
    assert problems_of_folder(tmp_path) == []


def test_a_held_table_does_not_hide_what_ended_the_run(tmp_path: Path, held: Refusals) -> None:
    held["cases.csv"] = 9
    with pytest.raises(KeyError, match="the bug") as ended:
        filled(tmp_path, scored(), then=KeyError("the bug"))
    (note,) = ended.value.__notes__
    assert note.startswith(f"error: {tmp_path / 'cases.csv'} cannot be replaced")


def test_a_full_disk_ends_the_run_with_the_files_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if "P2" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(HostError) as ended:
        filled(tmp_path, scored("P1"), scored("P2"), scored("P3"))
    lost = tmp_path / "cases" / "000003-P2.json"
    assert str(ended.value) == f"{lost} cannot be written: No space left on device"
    assert case_files(tmp_path) == ["P1"]
    assert problems_of_folder(tmp_path) == []
    monkeypatch.undo()
    filled(tmp_path, scored("P2"))
    assert numbered_files(tmp_path)["cases/000004-P2.json"] == 4


def test_no_name_is_there_before_its_content_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def replaced(self: Path, target: Path) -> Path:
        happened.append(f"named {target.name}")
        return replace(self, target)

    def synced(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        happened.append(f"synced {re.sub('[.][0-9a-f]{12}[.]', '.', name)}")
        fsync(descriptor)

    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(os, "fsync", synced)
    filled(tmp_path, scored())
    name = "000002-P1.json"
    place = happened.index(f"named {name}")
    assert happened[place - 1 : place + 2] == [
        f"synced {name}.partial",
        f"named {name}",
        "synced cases",
    ]


def test_a_result_whose_folder_could_not_be_synced_is_not_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = files.sync_folder

    def failing(folder: Path) -> None:
        if folder.name == "cases":
            raise OSError(5, "Input/output error")
        sync(folder)

    with Ledger(tmp_path) as ledger:
        ledger.start(ASKED, BUNDLE, STARTED)
        with monkeypatch.context() as patch:
            patch.setattr(files, "sync_folder", failing)
            with pytest.raises(HostError, match="Input/output error"):
                add(ledger, scored())
        known = ledger.known.place(smear_of(scored())).known
        assert getattr(known, "file", "") == "cases/000002-P1.json"
        ledger.end(None, known=0)
    assert case_files(tmp_path) == ["P1"]
    assert problems_of_folder(tmp_path) == []


def test_a_journal_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    filled(tmp_path, scored("P1"), scored("P2"))
    before = (tmp_path / "cases.csv").read_bytes()
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"score":0.625', b'"score":0.125'))
    filled(tmp_path)
    assert (tmp_path / "cases.csv").read_bytes() == before
    assert problems_of_folder(tmp_path) == []


def test_a_folder_that_is_called_cases_is_no_results_folder_yet(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "P1.png").write_bytes(b"a smear's")
    with pytest.raises(HostError, match=r"holds cases, but is no results folder"):
        Ledger(tmp_path)
    assert files_in(tmp_path) == ["cases"]


def test_a_table_that_changes_as_a_whole_is_made_now_and_then_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, made = [0.0], list[str]()
    known = known_from_lines([])
    tables = Tables(tmp_path, [], known, bytes)

    def slowly(name: str) -> bytes:
        made.append(name)
        now[0] += 1.0
        return b"whole"

    monkeypatch.setattr("vexas_edge.ledger.derived.tables.time.monotonic", lambda: now[0])
    monkeypatch.setattr(tables, "_content", slowly)
    for _ in range(200):
        now[0] += 0.1
        tables.make_soon("cases.csv")
        tables.append("cases.csv", b"row")
    assert len(made) == 3
    tables.make_soon("cases.csv")
    tables.append("cases.csv", b"row")  # it is in what is made at the end
    tables.finish()
    assert (len(made), (tmp_path / "cases.csv").read_bytes()) == (4, b"whole")
    tables.append("cases.csv", b"+")
    assert (tmp_path / "cases.csv").read_bytes() == b"whole+"
