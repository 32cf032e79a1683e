"""Fitting and judging by patient: figures, leaks, and patients that make no sense."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import there
from training_command import Training
from training_command import training as training

from calibration.gate.separation import Separation
from export.inputs import load_classifier
from training.encodings.table import Encodings, write_encodings
from training.judging.intervals import mean_of, share_of
from training.patients import phenotype
from training.patients.aggregates import DrawOptions, Patient, patients_from_encodings
from training.patients.classifier import Classifier, SvmOptions, choose_options, fit_classifier
from training.patients.evaluation import EvaluationOptions, evaluate_patients
from training.patients.learning import SvmLearning, subjects_from_patients
from training.patients.patientwise import (
    LEAVE_ONE_OUT,
    JudgedPatients,
    check_apart,
    judge_out_of_fold,
)
from training.patients.phenotype import against_others, compare_groups
from training.patients.report import evaluation_sentences, html_from_evaluation
from vexas_edge.errors import InputError, UsageError

FEW = DrawOptions(draws=20, size=5)
FAST = SvmOptions(draws=FEW)


def patient(name: str, group: str, shift: float, n_cells: int = 30, width: int = 6) -> Patient:
    """Cells about the patient's own place, `shift` along the first axis."""
    rng = np.random.default_rng(list(name.encode()))
    cells = rng.normal(size=(n_cells, width)) + 0.5 * rng.normal(size=width)
    cells[:, 0] += shift
    return Patient(
        name=name,
        group=group,
        encodings=cells.astype(np.float32),
        identities=tuple(rng.bytes(32) for _ in range(n_cells)),
    )


def cohort(
    strength: float, n: int = 12, groups: tuple[str, ...] = ("MDS", "VEXAS")
) -> list[Patient]:
    return [
        patient(f"P{number}", groups[number % len(groups)], strength * (number % len(groups)))
        for number in range(n)
    ]


def encodings_of(patients: list[Patient]) -> Encodings:
    rows = [(p, row) for p in patients for row in range(len(p.identities))]
    return Encodings(
        encodings=np.concatenate([p.encodings for p in patients]),
        groups=tuple(p.group for p, _ in rows),
        patients=tuple(p.name for p, _ in rows),
        samples=tuple(f"S-{p.name}" for p, _ in rows),
        cells=tuple(f"{p.name}/{row}.png" for p, row in rows),
        identities=tuple(p.identities[row] for p, row in rows),
    )


def test_aggregates_are_medians_of_the_patients_own_cells() -> None:
    one = patient("P1", "MDS", 0)
    aggregates = one.aggregates(DrawOptions(draws=7, size=1))
    assert aggregates.shape == (7, 6)
    assert all((one.encodings == aggregate).all(axis=1).any() for aggregate in aggregates)
    doubled = encodings_of([one, patient("P2", "VEXAS", 0)] * 2)
    assert len(patients_from_encodings(doubled)[0].identities) == 30


def separation_of(judged: JudgedPatients) -> Separation:
    return there(judged.separation)


def test_strong_groups_are_told_apart_by_patient() -> None:
    judged = judge_out_of_fold(cohort(4.0), "VEXAS", replace(FAST, choose=True), folds=3)
    found = separation_of(judged)
    assert found.roc_auc > 0.95
    assert found.low <= found.roc_auc <= found.high
    assert (judged.sensitivity.n, judged.specificity.n) == (6, 6)
    assert len(judged.chosen) == 3
    assert sum(one.n for one in judged.calibration) == 12
    assert [few.n_cells for few in judged.few_cells] == [5, 10, 20]
    assert judged.few_cells[0].distance >= judged.few_cells[-1].distance


def test_groups_alike_are_not_told_apart_however_many_cells_there_are() -> None:
    aucs = [
        separation_of(judge_out_of_fold(cohort(0.0, n=24), "VEXAS", FAST, folds=4, seed=seed))
        for seed in range(3)
    ]
    assert all(found.low <= 0.5 <= found.high for found in aucs)


def test_one_patient_left_out_at_a_time_judges_everybody_once() -> None:
    judged = judge_out_of_fold(cohort(4.0, n=6), "VEXAS", FAST, folds=LEAVE_ONE_OUT)
    assert len(judged.chosen) == len(set(judged.names)) == 6
    assert judged.separation is None  # scores of different classifiers are not ranked
    assert judged.sensitivity.share == judged.specificity.share == 1


def test_the_papers_table_has_every_pair_of_groups_and_one_against_all_others() -> None:
    three = cohort(3.0, n=12, groups=("UBA1-WT", "MDS", "VEXAS"))
    options = SvmOptions(calibration="libsvm", draws=FEW)
    found = compare_groups(three, ("UBA1-WT", "MDS", "VEXAS"), options)
    assert [(c.positive, *c.against) for c in found] == [
        ("VEXAS", "UBA1-WT"),
        ("VEXAS", "MDS"),
        ("VEXAS", "UBA1-WT", "MDS"),
        ("MDS", "UBA1-WT"),
    ]
    assert [c.patients for c in found] == [(4, 4), (4, 4), (4, 8), (4, 4)]
    assert found[0].roc_auc.mean > 0.9
    assert {patient.group for patient in against_others(three, "VEXAS")} == {"VEXAS", "others"}


def test_halves_have_patients_of_every_group_and_aggregates_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[list[str], int]] = []

    def noted(fitted: list[Patient], options: SvmOptions) -> Classifier:
        seen.append(([names[p.name] for p in fitted], options.draws.seed))
        return fit_classifier(fitted, options)

    three = cohort(3.0, n=12, groups=("UBA1-WT", "MDS", "VEXAS"))
    names = {p.name: p.group for p in three}
    monkeypatch.setattr(phenotype, "fit_classifier", noted)
    options = SvmOptions(calibration="libsvm", draws=replace(FEW, seed=7))
    compare_groups(three, ("UBA1-WT", "MDS", "VEXAS"), options)
    of_all = [(groups, seed) for groups, seed in seen if len(set(groups)) == 3]
    assert [seed for _, seed in of_all] == list(range(7, 17))
    assert all(groups.count(name) == 2 for groups, _ in of_all for name in set(groups))


def test_what_the_svm_learns_depends_on_the_patients_to_fit_on_alone() -> None:
    patients, fit, judge = cohort(2.0, n=16), np.arange(12), np.arange(12, 16)
    learn = SvmLearning(patients=patients, positive="VEXAS", options=replace(FAST, choose=True))
    taught = learn(fit)
    turned = [replace(p, group="MDS", encodings=-p.encodings) for p in patients[12:]]
    again = replace(learn, patients=[*patients[:12], *turned])(fit)
    assert np.array_equal(again.out_of_fold, taught.out_of_fold)
    assert not np.array_equal(again.score(judge), taught.score(judge))
    new = taught.score(judge)
    assert min(new[1::2]) > max(new[::2])


def test_a_patient_who_is_not_in_the_cohort_of_covariates_is_named() -> None:
    patients = cohort(2.0, n=4)
    known = {patient.name: {"age": "50"} for patient in patients[1:]}
    with pytest.raises(InputError, match="patient 'P0' is not in the cohort that has the covar"):
        subjects_from_patients(patients, "VEXAS", known)


def test_c_and_gamma_are_chosen_for_what_they_do_to_unseen_patients() -> None:
    """One group lies on both sides of the other, which too wide a kernel cannot tell apart."""
    sides = [
        patient(f"P{number}", ("MDS", "VEXAS")[number % 2], (0, 3, 0, -3)[number % 4])
        for number in range(24)
    ]
    chosen = choose_options(sides, replace(FAST, C=0.1, gamma=0.01))
    assert chosen.gamma > 0.01
    assert chosen.draws == FEW
    wide = judge_out_of_fold(sides, "VEXAS", replace(FAST, C=0.1, gamma=0.01), folds=4)
    fitting = judge_out_of_fold(sides, "VEXAS", replace(FAST, choose=True), folds=4)
    assert separation_of(wide).roc_auc < 0.8 < 0.9 < separation_of(fitting).roc_auc


def test_where_all_do_as_well_what_was_given_is_kept() -> None:
    assert choose_options(cohort(30.0), FAST) == FAST


def test_patients_of_too_few_cells_are_not_judged_and_named_at_home_alone() -> None:
    few = patient("P-few", "MDS", 0, n_cells=4)
    options = EvaluationOptions(positive="VEXAS", minimum_cells=5, svm=FAST, folds=3)
    found = evaluate_patients([*cohort(4.0), few], options)
    assert found.left_out == ("P-few",)
    assert "P-few" not in found.out_of_fold.names
    sentences = " ".join(evaluation_sentences(found))
    assert "too few cells: 1" in sentences
    assert "P-few" not in sentences  # which go into the bundle
    assert "P-few" in html_from_evaluation(found, "title", {})


def test_patients_held_out_of_whom_none_can_be_judged_are_no_judgement() -> None:
    few = [patient("P-few", "MDS", 0, n_cells=4), patient("P-fewer", "VEXAS", 9, n_cells=3)]
    options = EvaluationOptions(positive="VEXAS", minimum_cells=5, svm=FAST, folds=3)
    with pytest.raises(InputError, match="none of the 2 patients held out has the 5 cells needed"):
        evaluate_patients(cohort(4.0), options, held_out=few)


def test_probabilities_come_from_folds_that_keep_a_patient_together() -> None:
    """Aggregates of one patient on both sides make noise look certain."""
    noise = cohort(0.0, n=10)
    calibrated = fit_classifier(noise, FAST)
    leaking = fit_classifier(noise, replace(FAST, calibration="libsvm"))
    features = np.concatenate([p.aggregates(FEW) for p in noise])
    spread = [np.ptp(c.predict_proba(features)[:, 0]) for c in (calibrated, leaking)]
    assert spread[0] < 0.6 * spread[1]


@pytest.mark.parametrize(
    ("patients", "said"),
    [
        ([patient("P1", "MDS", 0), patient("P2", "MDS", 0)], "all patients are in the group 'MDS'"),
        ([patient("P1", "MDS", 0), patient("P2", "VEXAS", 0)], "has only one patient"),
    ],
)
def test_too_few_patients_are_refused(patients: list[Patient], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit_classifier(patients, FAST)


def test_who_is_on_both_sides_is_named() -> None:
    one, other = patient("P1", "MDS", 0), patient("P2", "VEXAS", 0)
    check_apart([one], [other])
    with pytest.raises(InputError, match="patient 'P1' is on both sides"):
        check_apart([one, other], [one])
    with pytest.raises(InputError, match="cell '.*' is on both sides"):
        check_apart([one], [replace(one, name="P9")])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"patients": ("P0",) * 60}, "patient 'P0' is in two groups, 'MDS' and 'VEXAS'"),
        ({"patients": ("",) * 60}, r"row 0 of the metadata, counted from 0, has no PATIENT"),
        ({"patients": ("P0",) * 60, "groups": ("MDS",) * 60}, "there is only one patient, 'P0'"),
        ({"identities": (b"x" * 32,) * 60}, "the same cell belongs to two patients"),
    ],
)
def test_patients_that_make_no_sense_are_named(change: dict[str, Any], said: str) -> None:
    found = replace(encodings_of(cohort(1.0, n=2)), **change)
    with pytest.raises(InputError, match=said):
        patients_from_encodings(found)


def test_intervals_hold_what_they_are_of() -> None:
    share = share_of(np.array([True] * 9 + [False] * 2))
    assert (share.k, share.n) == (9, 11)
    assert (share.low, share.high) == pytest.approx((0.4822, 0.9772), abs=1e-4)
    mean = mean_of([0.8, 0.9, 1.0, 0.7])
    assert there(mean.low) < mean.mean < there(mean.high)
    assert mean_of([1.0, 1.0]).low is None


@pytest.fixture
def encodings(tmp_path: Path) -> Path:
    write_encodings(encodings_of(cohort(4.0)), tmp_path / "encodings")
    return tmp_path / "encodings" / "encodings.npz"


@pytest.fixture
def cohort_file(tmp_path: Path) -> Path:
    rows = [
        f"P{n},S-P{n},P{n},{('MDS', 'VEXAS')[n % 2]},fit,{50 + n},{'ABC'[n % 3]}" for n in range(12)
    ]
    header = "patient,sample,path,label,split,age_years,scanner"
    (tmp_path / "cohort.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path / "cohort.csv"


def test_the_commands_fit_and_judge(
    training: Training, encodings: Path, cohort_file: Path, tmp_path: Path
) -> None:
    few = ("--draws", "20", "--draw-size", "5")
    ended = training(
        *("evaluate", encodings, "--cohort", cohort_file, "--folds", "3"),
        *("--positive", "VEXAS"),
        *("--leave-one-out", *few, "-o", tmp_path / "report"),
    )
    assert ended.status == 0, ended.err
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["order"] == ["MDS", "VEXAS"]
    assert [c["name"] for c in report["covariates"]] == ["age_years"]
    assert report["not_judged"] == ["scanner"]
    assert report["leave_one_out"]["how"] == "one patient left out at a time"
    assert report["leave_one_out"]["separation"] is None
    assert report["held_out"] is None
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/png") == 3
    assert "positive  against  patients" in ended.out
    assert "not a diagnosis" in page
    assert "ROC-AUC" in (tmp_path / "report" / "card.md").read_text()
    ended = training("fit", encodings, "--positive", "VEXAS", *few, "-o", tmp_path / "c.skops")
    assert ended.status == 0, ended.err
    assert list(load_classifier(tmp_path / "c.skops").classes_) == ["MDS", "VEXAS"]


def test_the_command_judges_beside_covariates_and_draws_the_papers_figures(
    training: Training, encodings: Path, cohort_file: Path, tmp_path: Path
) -> None:
    ended = training(
        *("evaluate", encodings, "--positive", "VEXAS", "--folds", "2", "--fixed", "--figures"),
        *("--draws", "5", "-o", tmp_path / "figures", "--cohort", cohort_file),
        *("--covariate", "age_years=years", "--halvings"),
    )
    assert ended.status == 0, ended.err
    assert "image and covariates less covariates alone" in ended.out
    assert "mean of ten halvings" in ended.out
    beside = json.loads((tmp_path / "figures" / "covariates.json").read_text())
    assert [kind["kind"] for kind in beside["nested"]["kinds"]] == ["covariates", "image", "both"]
    assert len(beside["scores"]) == 12
    page = (tmp_path / "figures" / "covariates.html").read_text()
    assert page.count("data:image/png") == 2
    refused = training(
        "evaluate", encodings, "--positive", "VEXAS", "--covariate", "age", "-o", "x"
    )
    assert refused.status == UsageError.exit_status
    assert "covariates are further columns of the cohort, and there are none" in refused.err
    page = (tmp_path / "figures" / "report.html").read_text()
    assert page.count("data:image/png") == 4
    assert "VEXAS against MDS: 100 aggregates" in page


def test_a_cohort_that_contradicts_the_encodings_is_refused(
    training: Training, encodings: Path, tmp_path: Path
) -> None:
    (tmp_path / "cohort.csv").write_text("patient,sample,path,label,split\nP0,S,p,VEXAS,fit\n")
    ended = training(
        *("evaluate", encodings, "--cohort", tmp_path / "cohort.csv", "-o", tmp_path / "report"),
        *("--draws", "5", "--fixed", "--positive", "VEXAS"),
    )
    assert ended.status == InputError.exit_status
    assert "patient 'P0' of group 'MDS' is labelled 'VEXAS' in the cohort" in ended.err
    assert not (tmp_path / "report").exists()
