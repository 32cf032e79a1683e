"""Scores of signed cells beside those of the same cells when a model names them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import Ended, there
from tiny_types import CLASS_OF_TINT, types_bundle, write_tinted

from training.talk import Talk
from training.typed.blind import Answer, BothAnswers, moves_of, scored_blind
from training.typed.blind_report import sentences_of
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.results.values import ModelScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.smear.cohort import read_cohort
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import silent

Command = Callable[..., Ended]
QUIET = Talk(say=print, progress=silent)


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return types_bundle(tmp_path_factory.mktemp("types"))


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Four signed smears of 15 cells a class; the last has unsigned ones, too."""
    lines = ["patient,sample,path,label,split"]
    for number in range(4):
        smear = tmp_path / f"S{number}"
        for tint, name in enumerate(CLASS_OF_TINT):
            write_tinted(smear / "Signed slides" / name, 15, seed=10 * number + tint, tint=tint)
        lines.append(f"P{number},S{number},S{number},any,judge")
    write_tinted(smear / "Unsigned slides", 9, seed=99)
    (tmp_path / "cohort.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "cohort.csv"


def used(model: ModelScore) -> set[str]:
    return {cell.identity for cell in model.cells if cell.status == "used"}


def test_scores_are_those_of_the_signed_smear_and_of_its_cells_in_one_flat_folder(
    cohort: Path, tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(tiny_bundle)
    with Sessions(bundle, types=open_bundle(types)) as sessions:
        found = scored_blind(read_cohort(cohort), "all", ReadOptions(), sessions, QUIET)
        flat = tmp_path / "flat"
        flat.mkdir()
        for number, cell in enumerate(sorted((tmp_path / "S3" / "Signed slides").rglob("*.png"))):
            shutil.copy(cell, flat / f"{number}.png")
        with read_case(flat, ReadOptions(unnamed=True)) as case:
            nameless = score_case(case, bundle, sessions)
    with read_case(tmp_path / "S3") as case:
        signed = score_case(case, bundle)
    own = {one.model: one for one in found.answers if one.patient == "P3"}
    assert {name: one.signed.score for name, one in own.items()} == {
        model.model: model.score for model in signed.models
    }
    assert {name: one.blind.score for name, one in own.items()} == {
        model.model: model.score for model in nameless.models
    }
    for one, before, after in zip(own.values(), signed.models, nameless.models, strict=True):
        assert there(one.shift) == there(one.blind.score) - there(one.signed.score)
        assert one.n_same == len(used(before) & used(after)) > 5


def test_figures_are_of_the_patients_that_have_a_score_both_ways() -> None:
    answers = [
        *(_answers(f"P{i}", 0.1 * i, 0.1 * i + 0.01 * i) for i in range(1, 10)),
        _answers("P10", 0.5, None),
        _answers("P11", None, 0.5),
        _answers("P12", None, None),
    ]
    moves = moves_of("neutrophil", answers)
    assert (moves.n_cases, moves.n_answered, moves.n_lost, moves.n_gained) == (12, 9, 1, 1)
    assert moves.n_patients == 9
    assert there(moves.median).value == pytest.approx(0.05)
    assert there(moves.shift).value == pytest.approx(0.05)
    assert there(moves.most).value == pytest.approx(0.09)  # eight of nine are under it, too few
    assert there(moves.median).low < 0.05 < there(moves.median).high
    assert there(moves.spread) == pytest.approx(np.std([0.1 * i for i in range(1, 10)], ddof=1))
    assert there(moves.calls_changed).k == 0
    assert (moves.n_cells, moves.n_same, moves.n_others) == (120, 96, 12)


def test_a_patient_with_many_samples_is_one_patient() -> None:
    answers = [
        *(_answers(f"P{i}", 0.2, 0.2) for i in range(9)),
        *(_answers("P9", 0.6, 0.2 + 0.02 * (i % 2)) for i in range(12)),
    ]
    moves = moves_of("neutrophil", answers)
    assert (moves.n_answered, moves.n_patients) == (21, 10)
    assert there(moves.median).value == 0.0
    assert there(moves.calls_changed).k == 1
    one = moves_of("neutrophil", answers[9:])
    assert there(one.median).value == pytest.approx(0.39)
    assert there(one.shift).value == pytest.approx(-0.39)


def test_a_call_that_changes_and_scores_that_hardly_differ_are_told() -> None:
    moves = moves_of("neutrophil", [_answers("P1", 0.48, 0.52), _answers("P2", 0.49, 0.47)])
    text = "; ".join(sentences_of(moves))
    assert "another call in 0.50 (1 of 2" in text
    assert "so little is said" in text
    none = moves_of("neutrophil", [_answers("P1", 0.5, None)])
    assert sentences_of(none) == [
        "1 cases: 0 with a score both ways, 1 only as signed, 0 only without names; 8 of 10 cells "
        "came back, with 1 others"
    ]


def test_the_command_writes_a_page_and_says_why_a_case_abstains(
    vexas_workshop: Command, cohort: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "few").mkdir()
    few = types_bundle(tmp_path / "few", {"monocyte": 0.5})
    out = tmp_path / "out"
    ended = vexas_workshop("train", "blind", tiny_bundle, cohort, "--types-from", few, "-o", out)
    assert ended.status == 0, ended.err
    assert "without names: too_few_cells  4" in ended.out
    found = json.loads((out / "blind.json").read_text())
    assert [one["n_lost"] for one in found["moves"]].count(4) == 2
    page = (out / "blind.html").read_text()
    assert page.count("<img") == 1
    assert "too few cells" in page


def test_what_cannot_be_judged_is_refused(
    vexas_workshop: Command, cohort: Path, tiny_bundle: Path, types: Path
) -> None:
    ended = vexas_workshop("train", "blind", tiny_bundle, cohort)
    assert ended.status == 2
    assert "--types-from" in ended.err
    ended = vexas_workshop("train", "blind", types, cohort)
    assert ended.status == 2
    assert "only names cells and scores no patients" in ended.err


def test_a_case_in_which_nobody_named_a_cell_is_left_out_and_told(
    vexas_workshop: Command, cohort: Path, tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "S0" / "Signed slides")
    write_tinted(tmp_path / "S0" / "Unsigned slides", 3)
    arguments = ("train", "blind", tiny_bundle, cohort, "--types-from", types)
    ended = vexas_workshop(*arguments, "-o", tmp_path / "out")
    assert ended.status == 0, ended.err
    assert "warning: left out: " in ended.err
    assert "S0 holds no cell to score" in ended.err
    found = json.loads((tmp_path / "out" / "blind.json").read_text())
    assert len(found["left_out"]) == 1
    assert {one["patient"] for one in found["answers"]} == {"P1", "P2", "P3"}
    for number in range(1, 4):
        shutil.rmtree(tmp_path / f"S{number}")
    ended = vexas_workshop(*arguments)
    assert ended.status == 5
    assert "none of the 4 cases can be scored" in ended.err


def _answers(patient: str, signed: float | None, blind: float | None) -> BothAnswers:
    return BothAnswers(
        patient=patient,
        sample=patient,
        model="neutrophil",
        signed=_answer(signed, 10),
        blind=_answer(blind, 9),
        n_same=8,
    )


def _answer(score: float | None, n_cells: int) -> Answer:
    return Answer(
        score=score,
        call=None if score is None else score >= 0.5,
        n_cells=n_cells,
        reasons=("too_few_cells",) if score is None else (),
    )
