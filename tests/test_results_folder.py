"""Results on disk: whole or not there, under names that every system takes."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from vexas_edge import files
from vexas_edge.errors import HostError, UsageError
from vexas_edge.files import HeldFileError, write_atomically
from vexas_edge.results.folder import (
    CASE_COLUMNS,
    CELL_COLUMNS,
    ResultFolder,
    json_from_score,
)
from vexas_edge.results.names import check_distinct, file_stem_for_case
from vexas_edge.results.values import (
    NOTICE,
    Asked,
    BundleId,
    CaseScore,
    EndedCase,
    ModelScore,
    RunRecord,
    UsedCell,
)

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
    "run",
    "RUN",
    "x.",
    "x ",
    "..",
    "",
    "100%",
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
            identity="cd",
            sha256="ab",
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
        case=case, status="scored", notice=NOTICE, models=models, unreadable=cells[1:], **fields
    )


def failed(case: str) -> CaseScore:
    return CaseScore(case=case, status="failed", notice=NOTICE, error="=no cells")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def record_of(*scores: CaseScore) -> RunRecord:
    """The record of a run with these results."""
    return RunRecord(
        vexas_edge="0",
        asked=Asked(
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
            as_json=False,
        ),
        bundle=BundleId(name="b", version="1", sha256="0" * 64, synthetic=True),
        started="2026-01-01T00:00:00+00:00",
        seconds=0.0,
        ended_by=None,
        cases=tuple(EndedCase(case=s.case, status=s.status, file=f"{s.case}.json") for s in scores),
    )


def filled(folder: Path, *scores: CaseScore, then: BaseException | None = None) -> Path:
    """The folder after a run with these results, which ends with the error `then`, if any."""
    with ResultFolder(folder, lambda: record_of(*scores)) as results:
        for score in scores:
            results.add(score)
        if then:
            raise then
    return folder


@pytest.mark.parametrize("case", NAMES)
def test_every_case_name_becomes_a_file_that_every_system_takes(tmp_path: Path, case: str) -> None:
    stem = file_stem_for_case(case)
    assert not set(stem) & set('<>:"/\\|?*')
    assert all(c >= " " for c in stem)
    assert stem[-1] not in ". "
    assert not stem.split(".")[0].upper().startswith(_DEVICES)
    assert len(f"{stem}.json.partial".encode()) <= 143  # the least of any file system in use
    (tmp_path / f"{stem}.json").write_text("x")
    assert files_in(tmp_path) == [f"{stem}.json"]


def test_different_cases_get_different_files() -> None:
    assert len({file_stem_for_case(case) for case in NAMES}) == len(NAMES)
    assert file_stem_for_case("a:b") != file_stem_for_case("a%3Ab")


def test_plain_names_stay_readable() -> None:
    assert file_stem_for_case("Müller, Jörg 2021-03-04") == "Müller, Jörg 2021-03-04"
    assert file_stem_for_case("day 1/P1") == "day 1%2FP1"


@pytest.mark.parametrize(("first", "second"), [("P1", "P1"), ("P1", "p1"), ("Ä", "ä")])
def test_two_cases_with_one_name_are_refused(first: str, second: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_distinct(["P0", first, second])
    assert str(refused.value) == (
        f"two cases have the same name, {first!r} and {second!r}, and one result would replace the "
        "other; rename one, or score them separately"
    )


def test_names_that_windows_tells_apart_are_not_refused() -> None:
    check_distinct(["P1", "P2", "straße", "strasse", "a:b", "a%3Ab"])


def test_a_case_named_run_does_not_replace_the_runs_record(tmp_path: Path) -> None:
    filled(tmp_path, scored("run"))
    assert files_in(tmp_path) == ["%72un.json", "cases.csv", "cells.csv", "run.json"]
    assert len(json.loads((tmp_path / "run.json").read_text())["cases"]) == 1


def test_cases_csv_has_a_row_for_each_model(tmp_path: Path) -> None:
    table = rows(filled(tmp_path, scored(), failed("P2")) / "cases.csv")
    assert tuple(table[0]) == CASE_COLUMNS
    assert tuple(table[0])[:10] == (
        *("case", "status", "model", "score", "interval_low", "interval_high", "call"),
        *("call_uncertain", "threshold", "n_cells"),
    )
    empty = dict.fromkeys(CASE_COLUMNS, "")
    assert table == [
        {
            **empty,
            **{"case": "P1", "status": "scored", "model": "neutrophil", "score": "0.625"},
            **{
                "standard_error": "0.01",
                "interval_low": "0.375",
                "interval_high": "0.875",
                "draws_low": "0.25",
                "draws_high": "0.75",
                "n_cells": "12",
                "n_unreadable": "0",
                "n_rejected": "0",
            },
            **{"call": "true", "call_uncertain": "true", "threshold": "0.5"},
            **{"share_over_threshold": "0.875", "case_status": "scored", "notice": NOTICE},
        },
        {
            **empty,
            **{"case": "P1", "status": "abstained", "model": "monocyte", "n_cells": "1"},
            **{"n_unreadable": "0", "n_rejected": "0"},
            **{"reasons": "too_few_cells;out_of_domain", "threshold": "0.5"},
            **{"case_status": "scored", "notice": NOTICE},
        },
        {
            **empty,
            **{"case": "P2", "status": "failed", "case_status": "failed", "notice": NOTICE},
            "error": "'=no cells",
        },
    ]


def test_cells_csv_has_a_row_for_each_cell_of_each_model(tmp_path: Path) -> None:
    table = rows(filled(tmp_path, scored(), failed("P2")) / "cells.csv")
    assert [tuple(row.values()) for row in table] == [
        ("P1", "neutrophil", "neutrophil/=1.png", "neutrophil", "used", "", "", "cd", "ab"),
        (
            "P1",
            "neutrophil",
            "neutrophil/2.png",
            "neutrophil",
            "unreadable",
            "empty_file",
            "",
            "",
            "",
        ),
    ]
    assert tuple(table[0]) == CELL_COLUMNS


def test_a_cases_json_holds_the_result_without_its_single_cells(tmp_path: Path) -> None:
    written = json.loads((filled(tmp_path, scored(lead="neutrophil")) / "P1.json").read_text())
    assert written == json.loads(json_from_score(scored(lead="neutrophil")))
    assert (written["case"], written["status"], written["schema_version"]) == ("P1", "scored", 4)
    assert written["models"][0]["score"] == 0.625
    assert "cells" not in written["models"][0]
    assert [cell["path"] for cell in written["unreadable"]] == ["neutrophil/2.png"]


@pytest.mark.parametrize("name", ["=SUM(A1)", "+1", "-1", "@x", "\tx"])
def test_a_name_that_a_spreadsheet_would_run_is_quoted(tmp_path: Path, name: str) -> None:
    assert rows(filled(tmp_path, failed(name)) / "cases.csv")[0]["case"] == f"'{name}"


@pytest.mark.parametrize("name", ["a, b", 'say "a"', "ä é 中", "line\nbreak"])
def test_awkward_names_survive_both_formats(tmp_path: Path, name: str) -> None:
    filled(tmp_path, scored(name))
    assert rows(tmp_path / "cases.csv")[0]["case"] == name
    (written,) = (p for p in tmp_path.glob("*.json") if p.name != "run.json")
    assert json.loads(written.read_text(encoding="utf-8"))["case"] == name


def test_a_case_is_on_disk_before_the_run_ends(tmp_path: Path) -> None:
    with ResultFolder(tmp_path, record_of) as results:
        results.add(scored())
        assert json.loads((tmp_path / "P1.json").read_text())["case"] == "P1"
        assert not (tmp_path / "cases.csv").exists()
    assert files_in(tmp_path) == ["P1.json", "cases.csv", "cells.csv", "run.json"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_breaks_off_keeps_what_was_done(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    with pytest.raises(kind):
        filled(tmp_path, scored(), then=kind())
    assert [row["model"] for row in rows(tmp_path / "cases.csv")] == ["neutrophil", "monocyte"]
    assert len(rows(tmp_path / "cells.csv")) == 2
    assert len(json.loads((tmp_path / "run.json").read_text())["cases"]) == 1


def test_the_tables_are_those_of_the_last_run_and_other_cases_stay(tmp_path: Path) -> None:
    filled(tmp_path, scored("P1"), scored("P2"))
    filled(tmp_path, failed("P2"))
    assert [row["case"] for row in rows(tmp_path / "cases.csv")] == ["P2"]
    assert rows(tmp_path / "cells.csv") == []
    assert json.loads((tmp_path / "P1.json").read_text())["status"] == "scored"
    assert json.loads((tmp_path / "P2.json").read_text())["status"] == "failed"


def test_a_run_that_does_nothing_leaves_the_tables_of_an_earlier_one(tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in filled(tmp_path, scored()).iterdir()}
    with pytest.raises(HostError, match="no such device"):
        filled(tmp_path, then=HostError("no such device"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


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
def test_an_output_folder_that_cannot_be_created_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(HostError) as refused:
        ResultFolder(tmp_path / name, record_of)
    assert str(refused.value).startswith(f"output folder {tmp_path / name} cannot be created: ")
    assert (tmp_path / "file").read_text() == "x"


def test_an_output_folder_in_which_no_table_can_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "cells.csv.partial").mkdir()
    with pytest.raises(HostError, match=r"cells\.csv cannot be written: Is a directory; name"):
        ResultFolder(tmp_path, record_of)
    assert files_in(tmp_path) == ["cells.csv.partial"]


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
    held["P1.json"] = held["cases.csv"] = 2
    filled(tmp_path, scored())
    assert files_in(tmp_path) == ["P1.json", "cases.csv", "cells.csv", "run.json"]
    assert held == {"P1.json": 0, "cases.csv": 0}


def test_a_file_held_open_for_good_is_reported_and_its_new_content_kept(
    tmp_path: Path, held: Refusals
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    held["a"] = 9
    with pytest.raises(HeldFileError) as refused:
        write_atomically(tmp_path / "a", b"new")
    assert str(refused.value) == (
        f"{tmp_path / 'a'} cannot be replaced (Permission denied): is it open in another program? "
        f"The new content is in {tmp_path / 'a.partial'}"
    )
    assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "a.partial").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["P1.json", "cases.csv", "cells.csv", "run.json"])
def test_one_held_file_keeps_nothing_else_from_being_written(
    tmp_path: Path, held: Refusals, name: str
) -> None:
    held[name] = 9
    with pytest.raises(HostError, match="is it open in another program"):
        filled(tmp_path, scored("P1"), scored("P2"))
    expected = {"P1.json", "P2.json", "cases.csv", "cells.csv", "run.json"}
    assert set(files_in(tmp_path)) == (expected - {name}) | {f"{name}.partial"}


def test_a_held_file_does_not_hide_what_ended_the_run(tmp_path: Path, held: Refusals) -> None:
    held["cases.csv"] = 9
    with pytest.raises(KeyError, match="the bug") as ended:
        filled(tmp_path, scored(), then=KeyError("the bug"))
    (note,) = ended.value.__notes__
    assert note.startswith(f"{tmp_path / 'cases.csv'} cannot be replaced")
    assert len(rows(tmp_path / "cases.csv.partial")) == 2
    assert len(rows(tmp_path / "cells.csv")) == 2


def test_a_folder_in_place_of_a_result_is_reported(tmp_path: Path) -> None:
    (tmp_path / "P1.json").mkdir()
    with pytest.raises(HostError, match=r"P1\.json cannot be replaced \(Is a directory\)"):
        filled(tmp_path, scored())
    assert json.loads((tmp_path / "P1.json.partial").read_text())["case"] == "P1"


def test_a_full_disk_ends_the_run_with_the_files_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.name.startswith("P2"):
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(HostError) as ended:
        filled(tmp_path, scored("P1"), scored("P2"), scored("P3"))
    assert str(ended.value) == f"{tmp_path / 'P2.json'} cannot be written: No space left on device"
    assert files_in(tmp_path) == ["P1.json", "cases.csv", "cells.csv", "run.json"]


def test_no_stream_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    open_file = Path.open

    def remembered(self: Path, *args: Any, **options: Any) -> Any:
        opened.append(open_file(self, *args, **options))
        return opened[-1]

    monkeypatch.setattr(Path, "open", remembered)
    (tmp_path / "out" / "cells.csv.partial").mkdir(parents=True)
    with pytest.raises(HostError):
        ResultFolder(tmp_path / "out", record_of)
    (tmp_path / "out" / "cells.csv.partial").rmdir()
    filled(tmp_path / "out", scored())
    assert len(opened) > 2
    assert all(stream.closed for stream in opened)
