"""`train reference`: training cases are measured once, and the bundle knows them afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.svm import SVC
from test_domain_gate import clean_case
from tiny import CLASSES, cell_pixels, folder_from_bundle, png, rewritten, there, write_case
from tiny_bag import BagKind, bag_bundle
from training_command import Training
from training_command import training as training

from calibration.additions import NewGraph, add_graphs
from calibration.gate.separation import roc_auc
from training.measured import work_folder
from training.measured.case import ChangedBag, MeasuredCase, read_measured, write_measured
from training.measured.measuring import Bench, changed_bags, measure_case
from training.patients.aggregates import DrawOptions
from training.patients.classifier import SvmOptions
from training.reference import adding
from training.reference.adding import check_groups, group_of
from training.reference.bag_scoring import bag_scorer
from training.reference.changes import Change
from training.reference.fit import fit_reference
from training.reference.making import (
    TrainingCase,
    changed_cases,
    reference_from_cases,
    shifts_of,
    svm_scorer,
)
from training.reference.scoring import scorer_from_classifier
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.graphs import FUSED, REFERENCE
from vexas_edge.cells.canvas import Canvas
from vexas_edge.domain.performance import Performance
from vexas_edge.domain.reference import Reference, reference_from_bytes
from vexas_edge.errors import InputError, RejectedCellError
from vexas_edge.quality.statistics import CASE_STATISTICS
from vexas_edge.runtime.session import reference_of
from vexas_edge.scoring.draws import draw_cells
from vexas_edge.talk import time_left

FAST = ("--fixed", "--calibration", "libsvm")


def write_patients(folder: Path, n_patients: int, cells: int = 6, **own: int) -> Path:
    """Patients of VEXAS and MDS in turn with cells for each model; `own` sets some patients'."""
    lines = ["patient,sample,path,label,split"]
    for i in range(n_patients):
        n = own.get(f"P{i}", cells)
        write_case(folder / f"S{i}", seed=100 + i, neutrophil=n, monocyte=n, lymphocyte=n)
        lines.append(f"P{i},S{i},S{i},{CLASSES[i % 2]},fit")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.csv"


def reference_in(bundle: Path, model: str = "neutrophil") -> Reference:
    return reference_from_bytes(open_bundle(bundle).model_file(model, REFERENCE))


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patients(tmp_path_factory.mktemp("twelve"), 12, P3=3)


@pytest.fixture(scope="module")
def one_model(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with its neutrophils alone."""
    models = open_bundle(tiny_bundle).manifest.models
    to = tmp_path_factory.mktemp("one") / "one.vxb"
    return rewritten(tiny_bundle, to, models={"neutrophil": models["neutrophil"]})


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patients(tmp_path_factory.mktemp("forty"), 40)


def test_with_twelve_patients_the_bundle_knows_ranges_and_says_that_it_has_no_gate(
    training: Training, tiny_bundle: Path, twelve: Path, tmp_path: Path
) -> None:
    out = tmp_path / "site.vxb"
    done = training("reference", tiny_bundle, "--cohort", twelve, "-o", out, *FAST)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("neutrophil: 11 patients, no domain gate (11 patients; 40 needed); ")
    assert " of clean cases abstain; out of fold " in lines[0]
    assert lines[0].endswith(" others are called positive; left out for too few cells: S3")
    assert lines[-1] == f"wrote {out}"
    opened = open_bundle(out)
    opened.check_all_files()
    assert opened.card().startswith("**no domain gate (11 patients; 40 needed)**\n")
    for model in opened.manifest.models:
        reference = reference_in(out, model)
        assert (reference.n_patients, reference.has_gate) == (11, False)
        entry = opened.manifest.models[model].files[REFERENCE]
        assert entry.measured["patients"] == 11
        assert 0 <= entry.measured["clean_abstain"] <= 0.2
        stated = msgspec.convert(entry.measured["stated"], Performance)
        called = int((reference.clean_scores >= opened.manifest.models[model].threshold).sum())
        assert (stated.positives, stated.negatives) == (5, 6)  # P3, of VEXAS, is left out
        assert stated.positives_called + stated.negatives_called == called
    before = open_bundle(tiny_bundle).manifest.models["neutrophil"].files
    assert opened.manifest.models["neutrophil"].files.items() > before.items()


def test_a_second_run_measures_nothing_and_gives_the_same_file(
    training: Training,
    one_model: Path,
    twelve: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "site.vxb"
    arguments = ("reference", one_model, "--cohort", twelve, "-o", out, *FAST)
    assert training(*arguments).status == 0
    once = out.read_bytes()
    assert len(list((tmp_path / "site.reference").iterdir())) == 12

    def never(*_: Any) -> MeasuredCase:
        raise AssertionError("a case was measured again")

    monkeypatch.setattr(work_folder, "measure_case", never)
    again = training(*arguments)
    assert again.status == 0, again.err
    assert "neutrophil: 12 of 12 cases were measured" in again.err
    assert out.read_bytes() == once


def test_an_interrupted_run_goes_on_where_it_was(
    training: Training,
    one_model: Path,
    twelve: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[str] = []
    whole = measure_case

    def counted(case: Any, *rest: Any) -> MeasuredCase:
        if len(measured) == 5:
            raise KeyboardInterrupt
        measured.append(case.name)
        return whole(case, *rest)

    monkeypatch.setattr(work_folder, "measure_case", counted)
    places = ("--work", tmp_path / "work", "-o", tmp_path / "site.vxb")
    arguments = ("reference", one_model, "--cohort", twelve, *FAST, *places)
    assert training(*arguments).status != 0
    assert not (tmp_path / "site.vxb").exists()
    measured.clear()
    monkeypatch.setattr(work_folder, "measure_case", whole)
    ended = training(*arguments)
    assert (ended.status, "neutrophil: 5 of 12 cases were measured" in ended.err) == (0, True)
    at_once = ("--work", tmp_path / "another", "-o", tmp_path / "at_once.vxb")
    assert training("reference", one_model, "--cohort", twelve, *FAST, *at_once).status == 0
    assert (tmp_path / "at_once.vxb").read_bytes() == (tmp_path / "site.vxb").read_bytes()


def test_one_cell_more_and_only_its_case_is_measured_anew(
    training: Training, one_model: Path, tmp_path: Path
) -> None:
    cohort = write_patients(tmp_path / "cohort", 6)
    work = tmp_path / "work"
    arguments = ("--cohort", cohort, *FAST, "--work", work, "-o", tmp_path / "site.vxb")
    assert training("reference", one_model, *arguments).status == 0
    assert len(list(work.iterdir())) == 6
    (tmp_path / "cohort" / "S2" / "neutrophil" / "more.png").write_bytes(png(cell_pixels(9999)))
    assert training("reference", one_model, *arguments).status == 0
    assert len(list(work.iterdir())) == 6 + 1


def test_a_damaged_measurement_is_named(
    training: Training, one_model: Path, tmp_path: Path
) -> None:
    cohort = write_patients(tmp_path / "cohort", 6)
    arguments = ("--cohort", cohort, *FAST, "--work", tmp_path / "w", "-o", tmp_path / "site.vxb")
    assert training("reference", one_model, *arguments).status == 0
    one = next((tmp_path / "w").iterdir())
    one.write_bytes(one.read_bytes()[:-200])
    for path in (tmp_path / "w").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    done = training("reference", one_model, *arguments)
    assert done.status == InputError.exit_status
    assert "cannot be read" in done.err
    assert "remove it" in done.err


def test_with_forty_patients_there_is_a_gate(
    training: Training,
    one_model: Path,
    forty: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = tuple(Change(kind=k, strength=s) for k, s in (("blur", 1.8), ("stain", 0.5)))
    monkeypatch.setattr(adding, "all_changes", lambda: few)
    bundle = tmp_path / "site.vxb"
    bundle.write_bytes(one_model.read_bytes())
    done = training("reference", bundle, "--cohort", forty, *FAST)
    assert done.status == 0, done.err
    assert done.out.startswith("neutrophil: 40 patients, a domain gate; ")
    assert open_bundle(bundle).card().startswith("# tiny 1.0.0")
    reference = reference_in(bundle)
    assert reference.has_gate
    assert set(reference.family_names) <= {"focus", "stain"}
    assert (np.diff(reference.clean_scores) >= 0).all()
    assert len(reference.clean_scores) == 40


def test_all_changes_are_those_of_the_experiment() -> None:
    changes = adding.all_changes()
    assert len(changes) == 111
    assert len({change.name for change in changes}) == 111


def test_a_graph_that_is_added_later_leaves_the_reference(
    training: Training, one_model: Path, twelve: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "site.vxb"
    done = training("reference", one_model, "--cohort", twelve, "-o", bundle, *FAST)
    assert done.status == 0, done.err
    before = open_bundle(bundle)
    content = before.model_file("neutrophil", FUSED)
    graph = NewGraph(
        model="neutrophil", file="fused.fp16.onnx", content=content, measured={}, tested=False
    )
    add_graphs(before, [graph], bundle)
    after = open_bundle(bundle)
    assert "fused.fp16.onnx" in after.manifest.models["neutrophil"].files
    assert after.model_file("neutrophil", REFERENCE) == before.model_file("neutrophil", REFERENCE)
    assert after.card() == before.card()


@pytest.mark.parametrize(
    ("change", "options", "status", "words"),
    [
        (("MDS", "healthy"), (), 5, "'healthy' is not a class of the bundle, which are MDS, "),
        (("MDS", "VEXAS"), (), 5, "6 patients, of the groups: VEXAS; a reference needs"),
        (("fit", "fit"), ("--split", "judge"), 5, "no case in the split 'judge'"),
        (("/S0,", "/S0,"), ("--cohort", "none.csv"), 5, "none.csv cannot be read"),
    ],
)
def test_a_cohort_that_does_not_do_is_refused(
    training: Training,
    one_model: Path,
    tmp_path: Path,
    change: tuple[str, str],
    options: tuple[str, ...],
    status: int,
    words: str,
) -> None:
    cohort = write_patients(tmp_path, 6)
    cohort.write_text(cohort.read_text().replace(*change))
    done = training("reference", one_model, "--cohort", cohort, "-o", tmp_path / "b", *options)
    assert done.status == status
    assert words in done.err


def test_too_few_patients_to_be_scored_still_have_ranges(
    training: Training, one_model: Path, tmp_path: Path
) -> None:
    cohort = write_patients(tmp_path, 6)
    cohort.write_text(cohort.read_text().replace("P1,", "P3,"))
    done = training("reference", one_model, "--cohort", cohort, "-o", tmp_path / "b.vxb")
    assert done.status == 0, done.err
    reference = there(reference_of(open_bundle(tmp_path / "b.vxb"), "neutrophil"))
    assert (reference.n_patients, len(reference.clean_scores)) == (5, 0)
    groups = {f"P{n}": CLASSES[n > 1] for n in range(40)}
    with pytest.raises(InputError, match="2 patients of the group 'MDS'"):
        check_groups(groups, 3, "the cohort")


def test_patients_without_cells_are_refused_by_the_model(
    training: Training, one_model: Path, tmp_path: Path
) -> None:
    cohort = write_patients(tmp_path, 6, cells=4)
    done = training("reference", one_model, "--cohort", cohort, "-o", tmp_path / "b.vxb")
    assert done.status == 5
    assert "model 'neutrophil', which needs 5 cells a case, has 0 patients" in done.err
    assert not (tmp_path / "b.vxb").exists()


def test_a_folder_is_not_replaced(
    training: Training, one_model: Path, twelve: Path, tmp_path: Path
) -> None:
    folder = folder_from_bundle(one_model, tmp_path / "folder")
    done = training("reference", folder, "--cohort", twelve)
    assert done.status == 2
    assert "-o NAME.vxb" in done.err


def test_labels_that_the_bundle_joins_are_joined(one_model: Path) -> None:
    manifest = open_bundle(one_model).manifest
    assert group_of("MDS", manifest) == "MDS"

    model = msgspec.structs.replace(manifest.models["neutrophil"], classes=("VEXAS", "others"))
    joined = msgspec.structs.replace(manifest, models={"neutrophil": model})
    assert [group_of(label, joined) for label in ("VEXAS", "MDS")] == ["VEXAS", "others"]


def rejecting_bench(levels: Callable[[NDArray[np.uint8]], bool]) -> Bench:
    """A bench whose cells are lost where `levels` says so, and whose encodings are mean colours."""

    def isolate(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if levels(pixels):
            raise RejectedCellError("no_cell", "too dark")
        return pixels

    return Bench(
        window_px=16,
        canvas=Canvas(canvas_px=16, isolate=isolate),
        encode=lambda cells: cells.mean(axis=(1, 2)).astype(np.float32),
        threads=2,
    )


def test_cells_that_a_change_makes_unusable_are_left_out() -> None:
    raw = [np.full((12, 12, 3), level, np.uint8) for level in (100, 160, 200)]
    bench = rejecting_bench(lambda pixels: bool(pixels.mean() < 90))
    half = Change(kind="brightness", strength=0.5)
    three_quarters = Change(kind="brightness", strength=0.75)
    lost, found = changed_bags(raw, bench, [half, three_quarters], "x", lambda *_: None)
    assert lost is None
    some = there(found)
    assert some.kept.tolist() == [False, True, True]
    alone = there(changed_bags(raw[1:], bench, [three_quarters], "x", lambda *_: None)[0])
    np.testing.assert_array_equal(some.encodings, alone.encodings)
    np.testing.assert_array_equal(some.statistics, alone.statistics)


def measured_case(seed: int, n_cells: int = 6, n_changes: int = 2) -> MeasuredCase:
    rng = np.random.default_rng(seed)
    encodings = rng.normal(size=(n_cells, 4)).astype(np.float32)
    bags: list[ChangedBag | None] = [
        ChangedBag(
            kept=np.arange(n_cells) != number,
            encodings=encodings[np.arange(n_cells) != number] + np.float32(0.5),
            statistics=rng.normal(size=7),
        )
        for number in range(n_changes)
    ]
    return MeasuredCase(
        identities=tuple(sorted(rng.bytes(32) for _ in range(n_cells))),
        encodings=encodings,
        statistics=rng.normal(size=(n_cells, 5)),
        changed=(*bags, None),
    )


@pytest.mark.parametrize("n_changes", [0, 2])
def test_a_measured_case_is_read_as_it_was_written(tmp_path: Path, n_changes: int) -> None:
    case = measured_case(0, n_changes=n_changes)
    write_measured(case, tmp_path / "one.npz")
    read = read_measured(tmp_path / "one.npz")
    assert read.identities == case.identities
    np.testing.assert_array_equal(read.encodings, case.encodings)
    np.testing.assert_array_equal(read.statistics, case.statistics)
    assert [bag is None for bag in read.changed] == [False] * n_changes + [True]
    for one, other in zip(read.changed, case.changed, strict=True):
        if one is not None and other is not None:
            np.testing.assert_array_equal(one.kept, other.kept)
            np.testing.assert_array_equal(one.encodings, other.encodings)
            np.testing.assert_array_equal(one.statistics, other.statistics)


def plain_scores(classifier: SVC, bags: Sequence[Any], draws: DrawOptions) -> list[float]:
    """The same by scikit-learn and numpy alone."""
    found = []
    for encodings, identities in bags:
        drawn = draw_cells(identities, draws.draws, draws.size, draws.seed)
        medians = np.median(encodings[drawn], axis=1)
        found.append(float(classifier.predict_proba(medians)[:, 1].mean()))
    return found


@pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")
def test_bags_are_scored_as_scikit_learn_scores_them() -> None:
    cases = [measured_case(seed) for seed in range(30)]
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(180) < 0.5, "MDS", "VEXAS")
    features = np.concatenate([case.encodings for case in cases])
    classifier = SVC(probability=True, random_state=0).fit(features, labels)
    bags = [(case.encodings, case.identities) for case in cases]
    draws = DrawOptions(draws=300, size=3)
    scorer = scorer_from_classifier(classifier, "VEXAS", draws)
    np.testing.assert_allclose(scorer(bags), plain_scores(classifier, bags, draws), atol=2e-3)
    assert len(scorer([])) == 0


def test_a_shift_is_against_the_same_cells_and_a_lost_case_has_none() -> None:
    case = measured_case(1)
    shifts = shifts_of(case, lambda bags: np.array([cells.mean() for cells, _ in bags]))
    np.testing.assert_allclose(shifts, [0.5, 0.5, np.nan], rtol=1e-5)
    cases = [case, replace(case, changed=(None, *case.changed[1:]))]
    both = np.array([[0.5, 0.5, np.nan], [np.nan, 0.4, np.nan]])
    first, second, third = changed_cases(cases, ["focus", "stain", ""], both)
    assert (first.cases.tolist(), second.cases.tolist(), third.cases.tolist()) == ([0], [0, 1], [])
    assert second.shifts.tolist() == [0.5, 0.4]
    assert second.family == "stain"


def test_patients_are_counted_and_not_their_smears() -> None:
    cases = [replace(clean_case(seed), patient=str(seed // 2)) for seed in range(48)]
    fitted = fit_reference(cases, [])
    assert fitted.reference.n_patients == 24
    assert not fitted.reference.has_gate
    assert len(fitted.reference.clean_scores) == 48
    assert 0 < fitted.clean_abstain <= 0.06
    with pytest.raises(ValueError, match="1 patients"):
        fit_reference(cases[:2], [])


def test_a_cell_of_two_patients_is_refused() -> None:
    own = replace(measured_case(0), changed=(None,))
    cases = [
        TrainingCase(patient=f"P{n}", sample=f"S{n}", group=CLASSES[n % 2], measured=own)
        for n in range(6)
    ]
    fit = partial(svm_scorer, positive="VEXAS", svm=SvmOptions())
    with pytest.raises(InputError, match="the same cell belongs to two patients"):
        reference_from_cases(cases, [], fit)


def test_the_time_that_is_left_is_in_words() -> None:
    assert time_left(2) == "under a minute left"
    assert time_left(600) == "about 10 min left"
    assert time_left(54_000) == "about 15 h left"


def test_a_bag_is_scored_by_a_head_that_has_not_seen_the_patient() -> None:
    rng = np.random.default_rng(0)

    def bag(positive: bool) -> tuple[np.ndarray, list[bytes]]:
        encodings = rng.normal(0, 1, (9, 4)).astype(np.float32)
        encodings[:3, 0] += 3 * positive  # a third of the cells tells
        return encodings, [rng.bytes(8) for _ in range(9)]

    def weigh(encodings: np.ndarray) -> np.ndarray:
        weights = np.exp(encodings[:, 0].astype(np.float64))
        found: np.ndarray = weights / weights.sum()
        return found

    truth = [n % 2 == 1 for n in range(40)]
    scorer = bag_scorer([bag(positive) for positive in truth], truth, weigh)
    others = [bag(positive) for positive in truth]
    scores = scorer(others)
    assert roc_auc(scores, np.array(truth)) > 0.85
    encodings, identities = others[3]
    turned = (encodings[::-1], identities[::-1])
    assert scorer([turned])[0] == scores[3]
    assert scorer([]).shape == (0,)


def test_a_bundle_of_a_bag_learns_how_its_patients_look(
    training: Training, twelve: Path, tmp_path: Path
) -> None:
    bundle = bag_bundle(tmp_path / "bag", BagKind(classes=("MDS", "VEXAS")))
    done = training("reference", bundle, "--cohort", twelve, "-o", tmp_path / "b.vxb")
    assert done.status == 0, done.err
    reference = reference_in(tmp_path / "b.vxb")
    assert (reference.n_patients, len(reference.clean_scores)) == (12, 0)
    with read_case(twelve.parent / "S1") as case:
        result = score_case(case, open_bundle(tmp_path / "b.vxb"), covariates={"age_years": "60"})
    assert set(there(result.models[0].domain).statistics) == set(CASE_STATISTICS)
