"""What cases are called, and that a hashed id is nowhere in what leaves the house."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Ended, case_files, kept, write_case

from vexas_edge.errors import InputError, UsageError, VexasEdgeError
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.naming.case_ids import Naming, NamingOptions
from vexas_edge.naming.hashing import read_key
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
        "path;case\nday 1/P1.zip;B12\n;\n./P1;B9\n",
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
        (b"path,case\nward 3, bed 2/P1,B1\n", "no more values than there are columns"),
        (b"path,path,case\nP1,P2,B1\n", "once each"),
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
    assert one.case("M\u00fcller") == other.case("mu\u0308ller") != one.case("Miller")
    assert KEY not in repr(one)
    key.write_text("another secret of it")
    assert read_key(key).case("Miller") != one.case("Miller")


@pytest.mark.parametrize("content", ["", "short", None])
def test_a_key_that_keeps_nothing_secret_is_refused(key: Path, content: str | None) -> None:
    key.unlink() if content is None else key.write_text(content)
    with pytest.raises(UsageError, match="16"):
        read_key(key)


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
    assert case_files(tmp_path / "out") == ["B12", "B13"]
    ended = vexas_edge("scan", tmp_path / "in", "--recursive", "--case-id", "{id}_*")
    assert (ended.status, "B13" in ended.out) == (7, True)


def leaks(folder: Path, *names: str) -> list[str]:
    """The files below a folder in whose name or content one of these names is."""
    return [
        str(path)
        for path in folder.rglob("*")
        if any(name in path.name for name in names)
        or (path.is_file() and any(name.encode() in path.read_bytes() for name in names))
    ]


def named_after_patients(folder: Path) -> tuple[Path, ...]:
    """Smears that name a patient wherever a smear can, two of which cannot be read."""
    whole = write_case(folder / "Miller", seed=1, neutrophil=14)
    cells = whole / "neutrophil"
    for number, name in enumerate(("Miller_0", "Miller000001", "Smith-1", "MILLER_0")):
        (cells / f"{number}.png").rename(cells / f"{name}.png")
    (cells / "Smith_9.png").write_bytes(b"no image")
    (cells / "Smith_8.png").write_bytes((cells / "Smith-1.png").read_bytes())
    inner = write_case(folder / "x" / "Smith", seed=2)
    shutil.make_archive(str(folder / "A17"), "zip", inner.parent)
    (folder / "Miller 2").mkdir()
    return whole, folder / "A17.zip", folder / "Miller 2", folder / "Miller 3"


def test_hashed_ids_are_in_no_file_and_on_no_line_of_stdout(
    vexas_edge: Command, tiny_bundle: Path, tmp_path: Path, key: Path
) -> None:
    """Not in names, texts of errors, paths of cells, nor the record of what was asked for."""
    cases = named_after_patients(tmp_path / "in")
    words = ("--bundle", tiny_bundle, "--hash-ids", key)
    out = tmp_path / "out"
    ended = vexas_edge("score", *cases, *words, "-o", out, "--json")
    assert "note: Miller is case-" in ended.err
    assert f"error: Miller 3: {cases[3]} was not found" in ended.err
    for name in ("iller", "ILLER", "mith"):
        assert name not in ended.out
    assert leaks(out, "iller", "ILLER", "mith", "A17") == []
    assert problems_of_folder(out) == []
    hashed = read_key(key).case("Miller")
    cells = [cell["path"] for cell in kept(out, hashed)["models"][0]["cells"]]
    assert kept(out, hashed)["status"] == "scored"
    assert len(set(cells)) == len(cells) == 16
    assert all(path.startswith("neutrophil/") for path in cells)
    again = vexas_edge("score", *cases, *words, "-o", out)
    assert "known results are shown again (4)" in again.err
    first, *_ = map(json.loads, ended.out.splitlines())
    unkept = json.loads(vexas_edge("score", cases[0], *words, "--json").out)
    assert (first["case"], first["models"]) == (unkept["case"], unkept["models"])


def test_hashing_changes_no_score(
    vexas_edge: Command, tiny_bundle: Path, tmp_path: Path, key: Path
) -> None:
    case = write_case(tmp_path / "Miller")
    plain, hashed = (
        json.loads(vexas_edge("score", case, "--bundle", tiny_bundle, "--json", *words).out)
        for words in ((), ("--hash-ids", key))
    )
    assert plain["models"] == hashed["models"]


def test_a_folder_has_ids_of_one_kind(
    vexas_edge: Command, tiny_bundle: Path, tmp_path: Path, key: Path
) -> None:
    case, out = write_case(tmp_path / "Miller"), tmp_path / "out"
    other = tmp_path / "other"
    other.write_text("another secret of it")
    score = ("score", case, "--bundle", tiny_bundle, "-o", out)
    assert vexas_edge(*score, "--hash-ids", key).status == 0
    for words in ((), ("--hash-ids", other)):
        ended = vexas_edge(*score, *words)
        assert (ended.status, "are hashed, maybe with another key" in ended.err) == (2, True)
    assert leaks(out, "iller") == []
    assert vexas_edge(*score, "--hash-ids", key).status == 0


def test_a_hashed_result_is_replayed(
    vexas_edge: Command, tiny_bundle: Path, tmp_path: Path, key: Path
) -> None:
    case = write_case(tmp_path / "Miller")
    out = tmp_path / "out"
    vexas_edge("score", case, "--bundle", tiny_bundle, "--hash-ids", key, "-o", out)
    (result,) = (out / "cases").iterdir()
    ended = vexas_edge("replay", result, "--input", case, "--bundle", tiny_bundle)
    assert (ended.status, "bit for bit" in ended.out) == (0, True)
