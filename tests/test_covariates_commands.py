"""Covariates at the command line: what is scored again, what is not, and what people read."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_watching import HOW, Watched
from tiny import Ended, case_files, kept, recorded, write_case
from tiny_bag import BagKind, bag_bundle

from export.bags.aggregation import AggregationOptions
from vexas_edge.commands.smears.asked import ScoringRun, asked_from_run
from vexas_edge.covariates.given import CovariateOptions
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.ledger.derived.rebuilding import rebuild_tables
from vexas_edge.naming.case_ids import Naming, NamingOptions

Command = Callable[..., Ended]
Score = Callable[..., Ended]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag that takes an age, which it must know, and a sex; a cell weighs more or less."""
    kind = BagKind(weighting=AggregationOptions(method="learned"))
    return bag_bundle(tmp_path_factory.mktemp("bag"), kind)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def score(vexas_edge: Command, bundle: Path, out: Path) -> Score:
    """Scores smears into `out`, which must be sound after that."""

    def run(*arguments: str | Path) -> Ended:
        ended = vexas_edge("score", *arguments, "--bundle", bundle, "-o", out)
        assert not out.exists() or problems_of_folder(out) == []
        return ended

    return run


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "cases.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def states(out: Path) -> list[tuple[str, str]]:
    return [(row["case"], row["state"]) for row in rows(out)]


def of_age(years: int) -> tuple[str, str]:
    return ("--covariate", f"age_years={years}")


def test_a_line_says_what_was_known(score: Score, tmp_path: Path) -> None:
    said = score(write_case(tmp_path / "P1"), *of_age(63)).out
    assert " with age_years 63, sex not given (0." in said
    assert " by the cells alone; 0." in said
    missing = score(write_case(tmp_path / "P2", seed=2))
    assert missing.status == 3
    assert "the patient's age_years (years) is missing (missing_covariate)" in missing.out
    wrong = score(write_case(tmp_path / "P3", seed=3), "--covariate", "age_years=old")
    assert wrong.status == 3
    assert "age_years is 'old'; expected a number from 1 to 120 (impossible_covariate)" in wrong.out


def test_another_value_revises_a_result_and_the_same_one_is_known(
    score: Score, tmp_path: Path, out: Path
) -> None:
    smear = write_case(tmp_path / "P1")
    first = score(smear, *of_age(63))
    again = score(smear, "--covariate", "age_years= 63 ")
    assert (again.out, case_files(out)) == (first.out, ["P1"])
    second = score(smear, *of_age(71))
    assert "note: P1: takes the place of result 2, which is kept" in second.err
    assert states(out) == [("P1", "replaced"), ("P1", "current")]
    assert rows(out)[0]["score"] != rows(out)[1]["score"]
    assert score(smear, *of_age(63)).out == first.out
    assert states(out)[2:] == [("P1", "current")]


def test_a_value_counts_also_where_files_were_touched_or_renamed(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1"), *of_age(63))
    write_case(tmp_path / "P1")  # the same bytes at another time
    score(tmp_path / "P1", *of_age(63))
    assert case_files(out) == ["P1"]
    write_case(tmp_path / "P1")
    score(tmp_path / "P1", *of_age(64))
    file = tmp_path / "P1" / "neutrophil" / "0.png"
    file.rename(file.with_name("z.png"))
    score(tmp_path / "P1", *of_age(64))
    assert case_files(out) == ["P1", "P1"]
    score(tmp_path / "P1", *of_age(65))
    assert [row["covariates"] for row in rows(out)] == [
        f"age_years={age};sex=" for age in (63, 64, 65)
    ]


def test_another_case_with_the_same_cells_takes_no_answer_for_another_age(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1"), *of_age(63))
    for name, age in (("P2", 63), ("P3", 71)):
        shutil.copytree(tmp_path / "P1", tmp_path / name)
        score(tmp_path / name, *of_age(age))
    assert kept(out, "P2")["entry"]["same_cells_as"] == 2
    assert kept(out, "P3")["entry"]["same_cells_as"] is None
    one, copy, other = (kept(out, name)["models"][0]["score"] for name in ("P1", "P2", "P3"))
    assert one == copy != other
    held = rows(out)[2]
    assert (held["state"], held["score"], held["cells_alone"]) == ("held", "", "")
    assert held["covariates"] == "age_years=71;sex="
    assert rows(out)[0]["cells_alone"] != ""


def test_a_case_that_fails_fails_anew_with_another_value(
    score: Score, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "P1.zip").write_bytes(b"no zip")
    for age in (63, 63, 64):
        assert score(tmp_path / "P1.zip", *of_age(age)).status == 5
    assert case_files(out) == ["P1", "P1"]
    (tmp_path / "P1.zip").unlink()
    shutil.make_archive(str(tmp_path / "P1"), "zip", write_case(tmp_path / "P1"))
    assert score(tmp_path / "P1.zip", *of_age(64)).status == 0
    assert states(out) == [("P1", "replaced"), ("P1", "replaced"), ("P1", "current")]


def test_a_table_is_for_many_cases_and_named_in_the_record(
    score: Score, tmp_path: Path, out: Path
) -> None:
    smears = [write_case(tmp_path / f"P{n}", seed=n) for n in (1, 2, 3)]
    table = tmp_path / "patients.csv"
    table.write_text("Case;age_years;ward\np1;63;4\nP2;;5\n")
    ended = score(*smears, "--covariates", table)
    assert ended.err.count(f"note: {table}: no model takes ward\n") == 1
    assert "note: P3: not in the table of covariates\n" in ended.err
    assert "note: P2: not in" not in ended.err
    assert [kept(out, f"P{n}")["status"] for n in (1, 2, 3)] == ["scored", "abstained", "abstained"]
    assert recorded(out, "started")["asked"]["covariates"] == "patients.csv"
    table.write_text("case,age_years\nP1,63\nP2,64\nP3,65\n")
    ended = score(*smears, "--covariates", table)
    assert (ended.status, case_files(out)) == (0, ["P1", "P2", "P3", "P2", "P3"])


def test_without_a_table_the_record_names_none(score: Score, tmp_path: Path, out: Path) -> None:
    score(write_case(tmp_path / "P1"), *of_age(63))
    assert "covariates" not in recorded(out, "started")["asked"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("P1 --covariate age=63", 2, "it takes age_years, sex"),
        ("P1 P2 --covariate age_years=63", 2, "is for one case, and there are 2"),
        ("P1 --covariates away.csv", 5, "table away.csv cannot be read"),
        ("P1 --covariates t.csv --covariate age_years=63", 2, "'63' by --covariate and '64'"),
    ],
)
def test_what_is_not_clear_ends_the_run_before_it_begins(
    score: Score,
    tmp_path: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    status: int,
    message: str,
) -> None:
    for seed, name in enumerate(("P1", "P2")):
        write_case(tmp_path / name, seed=seed)
    (tmp_path / "t.csv").write_text("case,age_years,sex\nP1,64,F\n")
    monkeypatch.chdir(tmp_path)
    ended = score(*words.split())
    assert (ended.status, ended.out, message in ended.err) == (status, "", True)
    assert ended.err.count("\n") == 1
    assert not out.exists()


def test_a_bundle_that_takes_none_refuses_them(
    vexas_edge: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    case = write_case(tmp_path / "P1")
    ended = vexas_edge("score", case, "--bundle", tiny_bundle, *of_age(63))
    assert (ended.status, "the bundle takes no covariates" in ended.err) == (2, True)
    (tmp_path / "in").mkdir()
    words = ("--bundle", tiny_bundle, "-o", tmp_path / "out", "--covariates", tmp_path / "t.csv")
    ended = vexas_edge("watch", tmp_path / "in", *words, "--once")
    assert (ended.status, "the bundle takes no covariates" in ended.err) == (2, True)


def test_a_replay_takes_the_recorded_values(
    score: Score, vexas_edge: Command, bundle: Path, tmp_path: Path, out: Path
) -> None:
    smear = write_case(tmp_path / "P1")
    score(smear, *of_age(63), "--covariate", "sex=M")
    result = out / "cases" / "000002-P1.json"
    ended = vexas_edge("replay", result, "--input", smear, "--bundle", bundle)
    assert (ended.status, "bit for bit" in ended.out) == (0, True)


def test_a_changed_value_in_a_result_is_found(score: Score, tmp_path: Path, out: Path) -> None:
    score(write_case(tmp_path / "P1"), *of_age(63))
    result, journal = out / "cases" / "000002-P1.json", out / "journal.jsonl"
    result.write_text(result.read_text().replace('"given": "63"', '"given": "64"'))
    journal.unlink()
    rebuild_tables(out)
    assert any("other values of covariates" in problem for problem in problems_of_folder(out))


def test_json_has_covariates_and_no_single_cells(score: Score, tmp_path: Path) -> None:
    ended = score(write_case(tmp_path / "P1"), *of_age(63), "--json")
    model = json.loads(ended.out)["models"][0]
    assert model["covariates"][0] == {
        "name": "age_years",
        "unit": "years",
        "given": "63",
        "value": 63.0,
        "assumed": False,
    }
    assert 0 < model["cells_alone"] < 1
    assert not {"cells", "pulls", "heaviest", "typical"} & model.keys()


def test_values_are_found_by_the_id_before_it_is_hashed(
    score: Score, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "key").write_text("a secret of the laboratory")
    (tmp_path / "t.csv").write_text("case,age_years\nB12,63\n")
    write_case(tmp_path / "B12_blood")
    words = ("--case-id", "{id}_*", "--hash-ids", tmp_path / "key")
    ended = score(tmp_path / "B12_blood", *words, "--covariates", tmp_path / "t.csv")
    assert ended.status == 0
    assert "B12" not in ended.out
    assert rows(out)[0]["covariates"] == "age_years=63;sex="


@pytest.fixture
def watching(tmp_path: Path, out: Path, bundle: Path) -> Iterator[Callable[..., Watched]]:
    """Begins to watch a folder with a table, and ends in order."""
    opened: list[Watched] = []

    def begin(table: Path, **options: Any) -> Watched:
        root = tmp_path / "in"
        root.mkdir()
        covariates = CovariateOptions(table=table)
        watched = Watched(root, out, bundle, HOW, NamingOptions(**options), covariates)
        watched.ledger.__enter__()
        opened.append(watched)
        return watched

    yield begin
    for watched in opened:
        watched.ledger.__exit__(None, None, None)
        watched.sessions.__exit__(None, None, None)
    assert problems_of_folder(out) == []


def test_a_watcher_scores_again_what_the_table_says_anew(
    watching: Callable[..., Watched],
    tmp_path: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("case,age_years\nP1,63\n")
    watched = watching(table)
    write_case(watched.root / "P1", seed=1)
    write_case(watched.root / "P2", seed=2)
    watched.go_on(100)
    assert [kept(out, name)["status"] for name in ("P1", "P2")] == ["scored", "abstained"]
    assert kept(out, "P2")["models"][0]["reasons"] == ["missing_covariate"]
    table.unlink()  # as while it is written anew
    watched.go_on(100)
    assert "cannot be read" in watched.watcher.trouble
    table.write_text("case,age_years\nP1,63\nP2,71\n")
    watched.go_on(100)
    assert not watched.watcher.trouble
    assert case_files(out) == ["P1", "P2", "P2"]
    assert kept(out, "P2")["status"] == "scored"
    table.write_text("case,age_years,sex\nP1,63,F\nP2,71,\n")
    watched.go_on(100)
    assert case_files(out) == ["P1", "P2", "P2", "P1"]
    watched.begin_anew()
    watched.go_on(100)
    assert case_files(out) == ["P1", "P2", "P2", "P1"]
    assert "P2: not in the table of covariates" in capsys.readouterr().err


def test_a_watcher_fails_a_smear_anew_with_another_value(
    watching: Callable[..., Watched], tmp_path: Path, out: Path
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("case,age_years\nP1.zip,63\n")
    watched = watching(table)
    (watched.root / "P1.zip").write_bytes(b"PK half a zip")
    watched.go_on(1200)
    assert case_files(out) == ["P1.zip"]
    table.write_text("case,age_years\nP1.zip,64\n")
    watched.go_on(1200)
    assert case_files(out) == ["P1.zip", "P1.zip"]


def test_the_record_of_a_watcher_names_the_table(tmp_path: Path) -> None:
    run = ScoringRun(
        cases=(tmp_path,),
        bundle=tmp_path / "site.vxb",
        covariates=CovariateOptions(table=tmp_path / "t.csv"),
    )
    assert asked_from_run(run, Naming(NamingOptions())).covariates == "t.csv"


def test_a_row_that_is_gone_takes_back_nothing_that_was_known(
    score: Score, tmp_path: Path, out: Path
) -> None:
    smear, table = write_case(tmp_path / "P1"), tmp_path / "ages.csv"
    table.write_text("case,age_years\nP1,63\n")
    first = score(smear, "--covariates", table)
    assert first.status == 0
    table.write_text("case,age_years\nP9,63\n")
    later = score(smear, "--covariates", table)
    assert later.status == 0
    assert later.out == first.out
    assert (
        "warning: P1: nobody says its age_years any more; the answer that knew it stay" in later.err
    )
    assert states(out) == [("P1", "current")]
    forced = score(smear, "--covariates", table, "--again")
    assert forced.status == 3
    assert states(out) == [("P1", "replaced"), ("P1", "current")]


def test_a_watcher_keeps_an_answer_whose_row_is_gone(
    bundle: Path, out: Path, tmp_path: Path, vexas_edge: Command
) -> None:
    write_case(tmp_path / "in" / "P1")
    table = tmp_path / "ages.csv"
    options = ("--bundle", bundle, "-o", out, "--settle", "0", "--once", "--covariates", table)
    table.write_text("case;age_years\nP1;63\n")
    assert vexas_edge("watch", tmp_path / "in", *options).status == 0
    table.write_text("case;age_years\nP9;63\n")
    later = vexas_edge("watch", tmp_path / "in", *options)
    assert later.status == 0
    assert "warning: P1: nobody says its age_years any more" in later.err
    assert states(out) == [("P1", "current")]
