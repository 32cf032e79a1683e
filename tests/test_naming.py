"""What cases are called, and that a hashed id is nowhere in what leaves the house."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Ended, case_files, kept, write_case

from vexas_edge.errors import InputError, UsageError, VexasEdgeError
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.naming.case_ids import Naming, NamingOptions
from vexas_edge.naming.hashing import read_key, text_without
from vexas_edge.naming.pattern import PathPattern
from vexas_edge.naming.worklist import case_on_worklist, read_worklist
from vexas_edge.smear.reader import case_at

Command = Callable[..., Ended]
KEY = "a secret of the laboratory"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text(KEY + "\n")
    return tmp_path / "key"


@pytest.mark.parametrize(
    ("pattern", "path", "case"),
    [
        ("{id}", "/exports/P1", "P1"),
        ("{id}_*", "/exports/B12_blood_2", "B12"),
        ("{id}_blood", "/exports/B12_7_blood", "B12_7"),
        ("{id}/*", "/exports/B12/slide", "B12"),
        ("*/{id}_*/slide*", "/day 1/B12_x/slide 3", "B12"),
        ("+{id}(1)", "/exports/+B(1)", "B"),
        ("{id}_*", "/exports/B12", None),
        ("{id}/*/*", "B12/slide", None),
        ("x{id}", "/x/P1", None),
    ],
)
def test_a_pattern_names_the_id_in_the_last_parts_of_a_path(
    pattern: str, path: str, case: str | None
) -> None:
    assert PathPattern(pattern).id_of(path) == case


@pytest.mark.parametrize("pattern", ["", "*", "{id}_{id}", "{case}"])
def test_a_pattern_without_one_id_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="must name the id once"):
        PathPattern(pattern)


@pytest.mark.parametrize(
    "text",
    [
        "path,case\nday 1/P1,B12\nP1,B9\n",
        "\ufeffCase;other;Path\r\nB12;x;Day 1\\P1\\\r\nB9;;P1\r\n",
        'case,path\n"B12","day 1/P1"\nB9,/P1',
    ],
)
def test_a_worklist_is_read_as_spreadsheets_write_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "work.csv"
    file.write_text(text, encoding="utf-8", newline="")
    ids = read_worklist(file)
    assert case_on_worklist(ids, "/exports/day 1/p1") == "B12"
    assert case_on_worklist(ids, "/exports/day 2/P1") == "B9"
    assert case_on_worklist(ids, "/exports/day 1") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "needs the columns path and case"),
        (b"patient,case\nP1,B12\n", "needs the columns path and case"),
        (b"path,case\nP1\n", "line 2: a path and a case are needed"),
        (b"path,case\nP1,\n", "line 2: a path and a case are needed"),
        (b"path,case\nP1,B1\nP1,B2\n", "line 3: 'p1' is already the case 'B1'"),
        (b"path,case\nP1,M\xfcller\n", "save it as CSV UTF-8"),
        (b'path,case\n"P1,B1\n', "unexpected end"),
    ],
)
def test_a_worklist_that_is_not_clear_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "work.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_worklist(tmp_path / "work.csv")


def test_hashing_tells_neither_case_nor_encoding_apart_and_needs_the_key(key: Path) -> None:
    one, other = read_key(key), read_key(key)
    assert one.hashed("M\u00fcller") == other.hashed("mu\u0308ller") != one.hashed("Miller")
    assert KEY not in repr(one)
    key.write_text("another secret of it")
    assert read_key(key).hashed("Miller") != one.hashed("Miller")


@pytest.mark.parametrize("content", ["", "short", None])
def test_a_key_that_keeps_nothing_secret_is_refused(key: Path, content: str | None) -> None:
    key.unlink() if content is None else key.write_text(content)
    with pytest.raises(UsageError, match="16"):
        read_key(key)


def test_a_name_is_taken_out_as_a_whole_word_only() -> None:
    text = "P1/neutrophil/p1_12.png in P12, of ward 3/P1; a.c abc"
    assert text_without(["ward 3/P1", "a.c"], text, "X") == (
        "X/neutrophil/X_12.png in P12, of X; X abc"
    )
    assert text_without(["P1", "case"], "case P1", "case-7") == "case-7 case-7"
    assert text_without([""], "P1", "X") == "P1"


def test_a_case_without_an_id_keeps_its_name_and_fails(tmp_path: Path) -> None:
    naming = Naming(NamingOptions(case_id="{id}_*"))
    named = naming.named(case_at(tmp_path / "P1"))
    assert named.name == "P1"
    assert named.problem == f"{tmp_path / 'P1'} does not match the case id pattern '{{id}}_*'"


def test_a_pattern_and_a_worklist_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(VexasEdgeError, match="leave one out"):
        Naming(NamingOptions(case_id="{id}", worklist=tmp_path / "work.csv"))


def test_cases_are_scored_under_their_ids(
    vexas_edge: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    for seed, name in enumerate(("B12_blood", "B13_marrow", "odd")):
        write_case(tmp_path / "in" / name, seed=seed)
    words = ("--recursive", "--bundle", tiny_bundle, "--case-id", "{id}_*")
    ended = vexas_edge("score", tmp_path / "in", *words, "-o", tmp_path / "out")
    assert ended.status == 7
    assert "does not match the case id pattern" in ended.err
    assert case_files(tmp_path / "out") == ["B12", "B13", "odd"]
    ended = vexas_edge("scan", tmp_path / "in", "--recursive", "--case-id", "{id}_*")
    assert (ended.status, "B13" in ended.out) == (7, True)


def test_hashed_ids_are_in_no_file_and_on_no_line_of_stdout(
    vexas_edge: Command, tiny_bundle: Path, tmp_path: Path, key: Path
) -> None:
    """Not in names, texts of errors, paths of cells, nor the record of what was asked for."""
    whole = write_case(tmp_path / "in" / "Miller", seed=1)
    (whole / "neutrophil" / "0.png").rename(whole / "neutrophil" / "Miller_0.png")
    (whole / "neutrophil" / "Miller_1.png").write_bytes(b"no image")
    (tmp_path / "in" / "Miller 2").mkdir()
    words = ("--bundle", tiny_bundle, "--hash-ids", key)
    cases = (whole, tmp_path / "in" / "Miller 2", tmp_path / "in" / "Miller 3")
    out = tmp_path / "out"
    ended = vexas_edge("score", *cases, *words, "-o", out, "--json")
    assert "note: Miller is case-" in ended.err
    assert "iller" not in ended.out
    for path in (path for path in out.rglob("*") if path.is_file()):
        assert b"iller" not in path.read_bytes(), path
        assert "iller" not in path.name
    assert problems_of_folder(out) == []
    hashed = read_key(key).hashed("Miller")
    assert kept(out, hashed)["status"] == "scored"
    cells = [cell["path"] for cell in kept(out, hashed)["models"][0]["cells"]]
    assert f"neutrophil/{hashed}_0.png" in cells
    again = vexas_edge("score", *cases, *words, "-o", out)
    assert "known results are shown again (3)" in again.err
    first, *_ = map(json.loads, ended.out.splitlines())
    unkept = json.loads(vexas_edge("score", whole, *words, "--json").out)
    assert (first["case"], first["models"]) == (unkept["case"], unkept["models"])


def test_a_hashed_result_is_replayed(
    vexas_edge: Command, tiny_bundle: Path, tmp_path: Path, key: Path
) -> None:
    case = write_case(tmp_path / "Miller")
    out = tmp_path / "out"
    vexas_edge("score", case, "--bundle", tiny_bundle, "--hash-ids", key, "-o", out)
    (result,) = (out / "cases").iterdir()
    ended = vexas_edge("replay", result, "--input", case, "--bundle", tiny_bundle)
    assert (ended.status, "bit for bit" in ended.out) == (0, True)
