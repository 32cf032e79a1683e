"""What is scored again, what is not, and what becomes of one name for two smears."""

import csv
import json
import shutil
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Self

import pytest
from tiny import Ended, case_files, kept, recorded, rewritten, write_case

from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.runtime.session import Sessions

Command = Callable[..., Ended]
Score = Callable[..., Ended]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def score(vexas_edge: Command, tiny_bundle: Path, out: Path) -> Score:
    """Scores smears into `out`, which must be sound after that."""

    def run(*arguments: str | Path, bundle: Path = tiny_bundle) -> Ended:
        ended = vexas_edge("score", *arguments, "--bundle", bundle, "-o", out)
        assert problems_of_folder(out) == []
        return ended

    return run


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models whose engine was asked for, in order."""
    asked: list[str] = []
    fused = Sessions.fused

    def remembered(self: Sessions, model: str, file: str = "") -> object:
        asked.append(model)
        return fused(self, model, file)

    monkeypatch.setattr(Sessions, "fused", remembered)
    return asked


def states(out: Path) -> list[tuple[str, str, str]]:
    """Name, state and flags of each result, in the order of the table."""
    with (out / "cases.csv").open(encoding="utf-8", newline="") as stream:
        rows = [(r["case"], r["state"], r["flags"]) for r in csv.DictReader(stream)]
    return list(dict.fromkeys(rows))


def test_a_smear_that_nobody_touched_is_not_opened_again(
    score: Score, tmp_path: Path, out: Path, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score(write_case(tmp_path / "P1"))
    assert encoded
    encoded.clear()
    monkeypatch.setattr("vexas_edge.commands.smears.scorer.open_case", None)
    again = score(tmp_path / "P1")
    assert (again.status, again.out) == (first.status, first.out)
    assert "note: known results are shown again (1); --again scores once more" in again.err
    assert (case_files(out), encoded) == (["P1"], [])


def test_a_run_that_looks_ahead_gives_what_one_without_does(
    score: Score, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a GPU: a smear that comes twice, a copy, one that is not there, and another one."""
    first = write_case(tmp_path / "P1", seed=1)
    shutil.copytree(first, tmp_path / "P2")
    wanted = (first, first, tmp_path / "P2", tmp_path / "P3", write_case(tmp_path / "P4", seed=4))
    without = score(*wanted, "--json")
    states_without = states(out)
    shutil.rmtree(out)
    monkeypatch.setattr(Sessions, "on_gpu", True)
    ahead = score(*wanted, "--json")
    assert (ahead.status, states(out)) == (without.status, states_without)
    assert case_files(out) == ["P1", "P2", "P3", "P4"]
    answers = [
        [(m["score"], m["status"]) for m in json.loads(line)["models"]]
        for ended in (without, ahead)
        for line in ended.out.splitlines()
    ]
    assert answers[:5] == answers[5:]
    assert len(answers) == 10


def test_a_smear_that_was_copied_over_is_not_decoded_again(
    score: Score, tmp_path: Path, out: Path, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    score(write_case(tmp_path / "P1"))
    encoded.clear()
    write_case(tmp_path / "P1")  # the same bytes at another time
    monkeypatch.setattr("vexas_edge.commands.smears.scorer.read_for", None)
    score(tmp_path / "P1")
    assert (case_files(out), encoded) == (["P1"], [])


def test_a_smear_whose_files_are_renamed_is_not_encoded_again(
    score: Score, tmp_path: Path, out: Path, encoded: list[str]
) -> None:
    folder = write_case(tmp_path / "P1")
    score(folder)
    encoded.clear()
    for file in (folder / "neutrophil").iterdir():
        file.rename(file.with_name(f"new {file.name}"))
    score(folder)
    assert (case_files(out), encoded) == (["P1"], [])


def test_again_scores_once_more_and_keeps_both(score: Score, tmp_path: Path, out: Path) -> None:
    score(write_case(tmp_path / "P1"))
    score(tmp_path / "P1", "--again")
    assert states(out) == [("P1", "replaced", ""), ("P1", "current", "")]
    first, second = (
        json.loads(path.read_text())["models"] for path in sorted((out / "cases").iterdir())
    )
    assert first == second


def test_another_smear_of_the_same_name_gets_a_name_of_its_own(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "monday" / "P1", seed=1))
    second = score(write_case(tmp_path / "tuesday" / "P1", seed=2))
    assert "P1 (2): scored" in second.out
    assert "warning: P1 (2): another smear was called P1 before; both are kept" in second.err
    third = score(write_case(tmp_path / "wednesday" / "p1", seed=3))
    assert "p1 (2): scored" in third.out or "p1 (3): scored" in third.out
    assert [state for _, state, _ in states(out)] == ["current"] * 3
    assert len({case.casefold() for case, _, _ in states(out)}) == 3
    assert states(out)[0][2].startswith("same_name_as P1 (2)")
    for day in ("monday", "tuesday"):
        score(tmp_path / day / "P1")
    score(tmp_path / "wednesday" / "p1")
    assert len(case_files(out)) == 3


def test_two_smears_of_one_name_in_one_run_are_both_kept(
    score: Score, tmp_path: Path, out: Path
) -> None:
    days = [write_case(tmp_path / day / "P1", seed=seed) for seed, day in enumerate("ab")]
    score(*days)
    assert [case for case, _, _ in states(out)] == ["P1", "P1 (2)"]


def test_more_cells_of_the_same_smear_are_a_revision(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    second = score(write_case(tmp_path / "P1", neutrophil=20))
    assert "note: P1: takes the place of result 2, which is kept" in second.err
    assert states(out) == [("P1", "replaced", ""), ("P1", "current", "")]
    assert kept(out, "P1")["models"][0]["n_cells"] == 20


def test_a_revision_that_is_taken_back_is_known(
    score: Score, tmp_path: Path, out: Path, encoded: list[str]
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    first = kept(out, "P1")["models"]
    score(write_case(tmp_path / "P1", neutrophil=20))
    encoded.clear()
    for number in range(12, 20):
        (tmp_path / "P1" / "neutrophil" / f"{number}.png").unlink()
    score(tmp_path / "P1")
    assert encoded == []
    assert [state for _, state, _ in states(out)] == ["replaced", "current"]
    assert kept(out, "P1")["models"] == first


def test_the_same_cells_under_another_name_take_over_the_answer(
    score: Score, tmp_path: Path, out: Path, encoded: list[str]
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12, monocyte=7))
    encoded.clear()
    shutil.copytree(tmp_path / "P1", tmp_path / "P2")
    (tmp_path / "P2" / "neutrophil" / "0.png").rename(tmp_path / "P2" / "neutrophil" / "z.png")
    second = score(tmp_path / "P2")
    assert encoded == []
    assert (
        "warning: P2: the same cells as P1; was one slide exported under two names?" in second.err
    )
    assert states(out) == [
        ("P1", "current", "same_cells_as P2"),
        ("P2", "current", "same_cells_as P1"),
    ]
    one, other = kept(out, "P1"), kept(out, "P2")
    assert [m["score"] for m in one["models"]] == [m["score"] for m in other["models"]]
    assert other["models"][0]["cells"][-1]["path"] == "neutrophil/z.png"
    score(tmp_path / "P1", tmp_path / "P2")
    assert case_files(out) == ["P1", "P2"]


def test_any_number_of_copies_take_over_the_answer_of_the_first(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    for name in ("P2", "P3", "P4"):
        shutil.copytree(tmp_path / "P1", tmp_path / name)
        ended = score(tmp_path / name)
        assert (ended.status, f"{name}: the same cells as P1" in ended.err) == (0, True)
    assert [state for _, state, _ in states(out)] == ["current"] * 4
    assert kept(out, "P4")["entry"]["shares_cells_with"] == []


def test_a_smear_is_not_held_for_another_one_that_is_held_for_it(
    score: Score, tmp_path: Path, out: Path
) -> None:
    """Its first cells, then all of them under another name, then all of them under its own."""
    write_case(tmp_path / "P1", neutrophil=6)
    whole = write_case(tmp_path / "copy", neutrophil=12)
    score(tmp_path / "P1")
    assert score(whole).status == 3
    for file in sorted((whole / "neutrophil").iterdir()):
        shutil.copy(file, tmp_path / "P1" / "neutrophil")
    grown = score(tmp_path / "P1")
    assert (grown.status, "P1: scored" in grown.out) == (0, True)
    assert [case for case, state, _ in states(out) if state == "held"] == ["copy"]
    assert problems_of_folder(out) == []


def test_half_of_the_cells_under_another_name_are_held_until_confirmed(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    mixed = write_case(tmp_path / "P2", seed=5, neutrophil=6)
    for number in range(6):
        file = tmp_path / "P1" / "neutrophil" / f"{number}.png"
        shutil.copy(file, mixed / "neutrophil" / f"p1 {number}.png")
    second = score(mixed)
    assert second.status == 3
    assert "half or more of its cells are those of P1" in second.out
    assert f"`vexas-edge results confirm {out} P2` (held)" in second.out
    assert json.loads(score(mixed, "--json").out)["models"][0]["score"] is None
    with (out / "cases.csv").open(encoding="utf-8", newline="") as stream:
        row = list(csv.DictReader(stream))[-1]
    assert (row["state"], row["score"], row["call"], row["case_call"]) == ("held", "", "", "")
    assert (row["status"], row["case_status"], row["reasons"]) == ("abstained", "abstained", "held")
    assert states(out) == [
        ("P1", "current", "shares_cells_with P2"),
        ("P2", "held", "shares_cells_with P1"),
    ]
    confirmed = vexas_edge("results", "confirm", out, "P2")
    assert (confirmed.status, "P2: scored: neutrophil 0." in confirmed.out) == (0, True)
    assert problems_of_folder(out) == []
    assert [state for _, state, _ in states(out)] == ["current", "current"]
    assert "P2: scored" in score(mixed).out
    assert vexas_edge("results", "confirm", out, "P2").status == 2


@pytest.mark.parametrize("again", [True, False])
def test_what_is_held_stays_so_when_the_other_smear_is_scored_anew(
    score: Score, tmp_path: Path, out: Path, *, again: bool
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    shutil.copytree(tmp_path / "P1", tmp_path / "P2")
    (tmp_path / "P2" / "neutrophil" / "0.png").unlink()
    assert score(tmp_path / "P2").status == 3
    for seed, name in enumerate(("P1", "P2")):
        if not again:
            more = write_case(tmp_path / f"more{seed}", seed=7 + seed, neutrophil=1)
            shutil.copy(more / "neutrophil" / "0.png", tmp_path / name / "neutrophil" / "more.png")
        score(tmp_path / name, *(["--again"] if again else []))
        assert [case for case, state, _ in states(out) if state == "held"] == ["P2"]


def test_a_copy_is_as_clear_as_what_it_is_a_copy_of(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    shutil.copytree(tmp_path / "P1", tmp_path / "P2")
    (tmp_path / "P2" / "neutrophil" / "0.png").unlink()
    score(tmp_path / "P2")
    vexas_edge("results", "confirm", out, "P2")
    shutil.copytree(tmp_path / "P1", tmp_path / "P3")
    assert score(tmp_path / "P3").status == 0
    assert [state for _, state, _ in states(out)] == ["current"] * 3


def test_what_was_confirmed_is_not_held_again(
    score: Score, vexas_edge: Command, tiny_bundle: Path, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    shutil.copytree(tmp_path / "P1", tmp_path / "P2")
    (tmp_path / "P2" / "neutrophil" / "0.png").unlink()
    assert score(tmp_path / "P2").status == 3
    vexas_edge("results", "confirm", out, "P2")
    newer = rewritten(tiny_bundle, tmp_path / "newer.vxb", version="2")
    assert score(tmp_path / "P1", tmp_path / "P2", bundle=newer).status == 0
    assert [state for _, state, _ in states(out)] == ["current"] * len(states(out))


def test_a_second_bundle_makes_a_series_beside_the_first(
    score: Score, tiny_bundle: Path, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1"))
    newer = rewritten(tiny_bundle, tmp_path / "newer.vxb", version="2")
    score(tmp_path / "P1", bundle=newer)
    score(tmp_path / "P1")
    score(tmp_path / "P1", bundle=newer)
    assert case_files(out) == ["P1", "P1"]
    assert states(out) == [("P1", "current", "")]


def test_a_smear_that_fails_takes_no_ones_place(score: Score, tmp_path: Path, out: Path) -> None:
    score(write_case(tmp_path / "P1"))
    shutil.move(tmp_path / "P1", tmp_path / "away")
    assert score(tmp_path / "P1").status == 5
    assert score(tmp_path / "P1").status == 5
    assert states(out) == [("P1", "current", ""), ("P1", "failed", "")]
    assert score(tmp_path / "elsewhere" / "P1").status == 5
    shutil.move(tmp_path / "away", tmp_path / "P1")
    for _ in range(2):  # what fails elsewhere under the same name is not mended by that
        score(tmp_path / "P1")
        assert case_files(out) == ["P1", "P1", "P1"]
        assert recorded(out, "mended")["results"] == [5]
        assert states(out) == [
            ("P1", "current", ""),
            ("P1", "replaced", ""),
            ("P1", "failed", ""),
        ]


def test_a_smear_that_failed_is_scored_when_it_can_be_read(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(tmp_path / "P1")
    score(write_case(tmp_path / "P1"))
    assert states(out) == [("P1", "replaced", ""), ("P1", "current", "")]
    assert problems_of_folder(out) == []
    score(write_case(tmp_path / "P1", neutrophil=20))
    shutil.move(tmp_path / "P1", tmp_path / "away")
    score(tmp_path / "P1")
    assert [state for _, state, _ in states(out)] == ["replaced", "current", "failed"]
    assert case_files(out) == ["P1", "P1", "P1", "P1"]


def test_the_order_is_that_of_writing_and_not_of_a_clock(
    score: Score, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(1999, 1, 1, tzinfo=tz)

    for module in ("commands.smears.cut_off", "scoring.images.smears", "ledger.runs"):
        monkeypatch.setattr(f"vexas_edge.{module}.datetime", Earlier)
    score(write_case(tmp_path / "P1", neutrophil=20))
    assert kept(out, "P1")["run"]["started"].startswith("1999")
    assert states(out) == [("P1", "replaced", ""), ("P1", "current", "")]


def test_a_result_that_was_removed_on_purpose_is_missed_by_nobody(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    shutil.copytree(tmp_path / "P1", tmp_path / "P3")
    score(tmp_path / "P3")
    score(write_case(tmp_path / "P1", neutrophil=20))
    (out / "cases" / "000002-P1.json").unlink()
    ended = vexas_edge("score", tmp_path / "P1", "-o", out, "--bundle", "x")
    assert ended.status != 0
    assert vexas_edge("results", "rebuild", out).status == 0
    assert problems_of_folder(out) == []
    again = score(tmp_path / "P1", tmp_path / "P3")
    assert "P3: the same cells as result 2, which was removed" in again.err
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert vexas_edge("results", "rebuild", out).status == 0
    assert {path: path.read_bytes() for path in before} == before


def mixed(tmp_path: Path, name: str, other: str, seed: int) -> Path:
    """A smear of six cells of its own and six of another one's."""
    folder = write_case(tmp_path / name, seed=seed, neutrophil=6)
    for number in range(6):
        file = tmp_path / other / "neutrophil" / f"{number}.png"
        shutil.copy(file, folder / "neutrophil" / f"{other} {number}.png")
    return folder


def test_what_is_held_is_not_shown_through_a_copy(score: Score, tmp_path: Path, out: Path) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    score(mixed(tmp_path, "P2", "P1", seed=5))
    for number in range(6):
        (tmp_path / "P1" / "neutrophil" / f"{number}.png").unlink()
    for number, path in enumerate(sorted((tmp_path / "P1" / "neutrophil").iterdir())):
        path.rename(path.with_name(f"kept {number}.png"))
    shutil.copytree(write_case(tmp_path / "x", seed=9) / "neutrophil", tmp_path / "y")
    for number in range(6):
        shutil.copy(tmp_path / "y" / f"{number}.png", tmp_path / "P1" / "neutrophil")
    score(tmp_path / "P1")
    shutil.copytree(tmp_path / "P2", tmp_path / "P3")
    copied = score(tmp_path / "P3")
    assert copied.status == 3
    assert "(held)" in copied.out
    assert states(out)[-1][:2] == ("P3", "held")


def test_one_of_two_smears_of_a_name_is_confirmed_alone(
    score: Score, vexas_edge: Command, tmp_path: Path, out: Path
) -> None:
    for seed, name in enumerate(("P1", "P2")):
        score(write_case(tmp_path / name, seed=seed, neutrophil=12))
    for day, other, seed in (("a", "P1", 5), ("b", "P2", 6)):
        shutil.move(mixed(tmp_path, "Q", other, seed), tmp_path / day / "Q")
        score(tmp_path / day / "Q")
    assert [case for case, state, _ in states(out) if state == "held"] == ["Q", "Q (2)"]
    vexas_edge("results", "confirm", out, "Q")
    assert [case for case, state, _ in states(out) if state == "held"] == ["Q (2)"]


def test_two_smears_of_a_name_that_fail_are_recorded_once_each(
    score: Score, tmp_path: Path, out: Path
) -> None:
    for day in "ab":
        (tmp_path / day).mkdir()
        (tmp_path / day / "Z.zip").write_bytes(day.encode())
    for _ in range(3):
        score(tmp_path / "a" / "Z.zip", tmp_path / "b" / "Z.zip")
    assert case_files(out) == ["Z", "Z"]


def test_a_users_own_partial_file_stays(score: Score, tmp_path: Path, out: Path) -> None:
    score(write_case(tmp_path / "P1"))
    own = ("movie.partial", "movie.0123456789ab.partial", "cases.csv.partial")
    for name in own:
        (out / name).write_text("mine")
    score(tmp_path / "P1")
    assert [(out / name).read_text() for name in own] == ["mine"] * 3


def test_the_true_smear_is_not_held_because_of_one_that_is_held_for_being_like_it(
    score: Score, tmp_path: Path, out: Path
) -> None:
    score(write_case(tmp_path / "P1", neutrophil=12))
    score(mixed(tmp_path, "P2", "P1", seed=5))
    more = score(write_case(tmp_path / "P1", neutrophil=14))
    assert "P1: scored" in more.out
    assert [(case, state) for case, state, _ in states(out)] == [
        ("P1", "replaced"),
        ("P2", "held"),
        ("P1", "current"),
    ]
