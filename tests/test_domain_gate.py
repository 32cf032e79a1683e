"""The domain gate: what it is fitted on, what it says, and its file."""

import os
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from training.reference.axes import axes_from_encodings
from training.reference.fit import Changed, CleanCase, fit_reference
from training.reference.forests import forest_from_trees, harm_forest
from training.reference.held_out import Scorer, held_out_scorers
from vexas_edge.domain.gate import UNLIKE, WORDS, Judgement, judge
from vexas_edge.domain.measures import encoding_measures
from vexas_edge.domain.reference import (
    GATES,
    Reference,
    bytes_from_reference,
    reference_from_bytes,
)
from vexas_edge.domain.trees import Forest
from vexas_edge.errors import BundleError
from vexas_edge.quality.statistics import CASE_STATISTICS, CELL_STATISTICS, case_statistics

N_CELLS, N_NUMBERS = 24, 12
BLUR, DYE = CELL_STATISTICS.index("band_1_to_2"), CELL_STATISTICS.index("nucleus_green")


def clean_case(seed: int, n_cells: int = N_CELLS) -> CleanCase:
    rng = np.random.default_rng(seed)
    encodings = rng.normal(rng.normal(0, 0.5, N_NUMBERS), 1, (n_cells, N_NUMBERS))
    statistics = rng.normal(
        rng.normal(10, 0.3, len(CELL_STATISTICS)), 1, (16, len(CELL_STATISTICS))
    )
    return CleanCase(
        patient=str(seed),
        encodings=encodings.astype(np.float32),
        statistics=statistics,
        score=float(rng.random()),
    )


def statistics_of(case: CleanCase, place: int = 0, shift: float = 0.0) -> NDArray[np.float64]:
    """The case's statistics with one of them moved."""
    moved = case.statistics.copy()
    moved[:, place] += shift
    return case_statistics(list(moved))


def changed(cases: list[CleanCase], family: str, place: int, shift: float) -> Changed:
    """A change that moves one statistic, and the score the more the farther."""
    return Changed(
        family=family,
        cases=np.arange(len(cases)),
        encodings=[case.encodings[:16] for case in cases],
        statistics=np.stack([statistics_of(case, place, shift) for case in cases]),
        shifts=np.full(len(cases), abs(shift) / 20),
    )


@cache
def reference(n_patients: int = 60) -> Reference:
    cases = [clean_case(seed) for seed in range(n_patients)]
    changes = [changed(cases, "focus", BLUR, shift) for shift in (-2.0, -4.0, -8.0)]
    changes += [changed(cases, "stain", DYE, shift) for shift in (3.0, 6.0, 9.0)]
    return fit_reference(cases, changes).reference


def judged(case: CleanCase, place: int = 0, shift: float = 0.0, **of: Any) -> Judgement:
    encodings = of.get("encodings", case.encodings)
    return judge(of.get("by", reference()), statistics_of(case, place, shift), encodings)


def test_most_patients_like_those_of_training_are_answered_for() -> None:
    found = [judged(clean_case(seed)) for seed in range(1000, 1100)]
    assert sum(one.abstains for one in found) <= 12
    answered = next(one for one in found if not one.abstains)
    assert answered.words == ""
    assert answered.finding.family is None
    assert answered.finding.margin <= 0
    assert set(answered.finding.gates) == set(GATES) - {"ranges"}


@pytest.mark.parametrize(("family", "place", "shift"), [("focus", BLUR, -6), ("stain", DYE, 7)])
def test_a_change_that_moves_the_score_is_named(family: str, place: int, shift: float) -> None:
    found = [judged(clean_case(seed), place, shift) for seed in range(1000, 1020)]
    assert all(one.abstains and one.finding.margin > 0 for one in found)
    assert [one.finding.family for one in found].count(family) >= 18
    assert [one.words for one in found].count(WORDS[family]) >= 18
    assert {one.finding.farthest[0] for one in found} == {CASE_STATISTICS[place]}


@pytest.mark.parametrize("n_cells", [4, 5, 7, 8, 9, 10, 11, 13, 14, 15])
@pytest.mark.parametrize("n_patients", [60, 30])
def test_few_cells_are_not_taken_for_other_ones(n_cells: int, n_patients: int) -> None:
    by, abstaining = reference(n_patients), []
    for seed in range(1000, 1100):
        case = clean_case(seed)
        statistics = case_statistics(list(case.statistics[:n_cells]))
        if judge(by, statistics, case.encodings[:n_cells]).abstains:
            abstaining.append(seed)
    assert len(abstaining) <= 20  # of 100; as many as 68 would, if spreads jumped


def test_a_sturdy_model_has_a_gate_that_names_no_family() -> None:
    cases = [clean_case(seed) for seed in range(40)]
    changes = [changed(cases, "focus", BLUR, 0.1), changed(cases, "stain", DYE, 0.1)]
    sturdy = fit_reference(cases, changes).reference
    assert sturdy.has_gate
    assert sturdy.families is None
    assert bytes_from_reference(reference_from_bytes(bytes_from_reference(sturdy)))
    far = judged(clean_case(1000), BLUR, -300, by=sturdy)
    assert far.finding.family in (None, "foreign cells")


def test_a_change_that_leaves_no_cells_teaches_nothing() -> None:
    cases = [clean_case(seed) for seed in range(40)]
    one = changed(cases, "focus", BLUR, -8.0)
    lost = replace(
        one, cases=one.cases[:0], encodings=[], statistics=one.statistics[:0], shifts=one.shifts[:0]
    )
    others = [one, changed(cases, "stain", DYE, 6.0)]
    with_lost = fit_reference(cases, [*others, lost]).reference
    without = fit_reference(cases, others).reference
    assert bytes_from_reference(with_lost) == bytes_from_reference(without)


def test_foreign_cells_are_named() -> None:
    case = clean_case(1000)
    found = judged(case, encodings=case.encodings + np.float32(6))
    assert found.abstains
    assert found.finding.family == "foreign cells"


def test_one_cell_repeated_is_named() -> None:
    case = clean_case(1000)
    noise = np.random.default_rng(0).normal(0, 0.02, case.encodings.shape).astype(np.float32)
    found = judged(case, encodings=case.encodings[:1] + noise)
    assert found.abstains
    assert found.finding.family == "duplicates"


def test_what_has_no_name_is_told_by_its_farthest_statistics() -> None:
    one = reference()
    assert isinstance(one.families, Forest)
    unsure = replace(one.families, value=np.full_like(one.families.value, 0.5 - 1e-3))
    found = judged(clean_case(1000), BLUR, -8, by=replace(one, families=unsure))
    assert found.abstains
    assert found.finding.family is None
    assert found.words.startswith(f"{UNLIKE}, most of all in band_1_to_2 ")
    far = found.finding.statistics[found.finding.farthest[0]]
    assert far.value < far.low < far.high


def test_under_40_patients_there_are_ranges_and_duplicates_only() -> None:
    small = reference(12)
    assert small.n_patients == 12
    assert not small.has_gate
    assert small.families is None
    case = clean_case(3)
    assert set(judged(case, by=small).finding.gates) == {"ranges", "duplicates", "same statistics"}
    assert not judged(case, by=small).abstains
    far = judged(case, BLUR, -300, by=small)
    assert far.abstains
    assert far.words.startswith(UNLIKE)
    assert judged(case, by=small, encodings=np.repeat(case.encodings[:1], 16, 0)).abstains


def test_cells_without_any_spread_do_not_divide_by_nothing() -> None:
    cases = [
        replace(clean_case(seed), statistics=np.ones((16, len(CELL_STATISTICS))))
        for seed in range(8)
    ]
    drawn = fit_reference(cases, []).reference
    assert (drawn.spread > 0).all()
    assert not judged(cases[0], by=drawn).abstains
    assert judged(clean_case(1), by=drawn).abstains


def test_the_file_holds_the_same_reference_and_has_the_same_bytes() -> None:
    written = bytes_from_reference(reference())
    read = reference_from_bytes(written)
    assert bytes_from_reference(read) == written
    case = clean_case(1000)
    assert judged(case, BLUR, -3, by=read) == judged(case, BLUR, -3)
    small = bytes_from_reference(reference(12))
    assert bytes_from_reference(reference_from_bytes(small)) == small


def rewritten(**arrays: Any) -> bytes:
    with np.load(BytesIO(bytes_from_reference(reference()))) as opened:
        whole = {name: opened[name] for name in opened.files} | arrays
    file = BytesIO()
    np.savez(file, **{name: array for name, array in whole.items() if array is not None})
    return file.getvalue()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"schema": np.array(99)}, "schema 99"),
        ({"statistics": np.array(["another"])}, "other statistics"),
        ({"spread": np.zeros(len(CASE_STATISTICS))}, "spread must be over 0"),
        ({"centre": np.full(len(CASE_STATISTICS), np.nan)}, "finite"),
        ({"mean": np.zeros(3)}, "mean is float64"),
        ({"limit": None}, "limit"),
        ({"further": np.zeros(3)}, "further"),
        ({"harm_left": np.zeros(3, np.int32)}, "left"),
        ({"harm_value": None}, "a part of harm is missing"),
        ({"n_patients": np.array(12)}, "12 patients"),
        ({"family_names": np.array(["focus"])}, "differ in number"),
        ({"centre": np.array([None], dtype=object)}, "cannot be read"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        reference_from_bytes(rewritten(**arrays))


def test_a_file_that_is_no_archive_is_refused() -> None:
    for data in (b"", b"PK\x03\x04", b"text", bytes_from_reference(reference())[:-100]):
        with pytest.raises(BundleError, match=r"reference\.npz cannot be read"):
            reference_from_bytes(data)


def test_trees_that_never_end_are_refused() -> None:
    one = reference().harm
    assert isinstance(one, Forest)
    left = one.left.copy()
    left[one.roots[0]] = one.roots[0]
    with pytest.raises(BundleError, match="leads nowhere"):
        reference_from_bytes(rewritten(harm_left=left))


def test_trees_answer_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    asked, answers = rng.normal(size=(200, 6)), rng.random(200)
    regressor = ExtraTreesRegressor(5, random_state=0).fit(asked, answers)
    classifier = ExtraTreesClassifier(5, min_samples_leaf=9, random_state=0).fit(
        asked, answers > 0.7
    )
    new = rng.normal(size=(50, 6))
    for fitted, wanted in (
        (regressor, regressor.predict(new)[:, None]),
        (classifier, classifier.predict_proba(new)),
    ):
        forest = forest_from_trees(fitted.estimators_)
        found = np.stack([forest.answer(row) for row in new])
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_the_same_training_gives_the_same_trees_and_another_seed_others() -> None:
    rng = np.random.default_rng(0)
    asked, shifts = rng.normal(size=(100, 4)), rng.random(100)
    one, same, other = (harm_forest(asked, shifts, np.ones(100), seed) for seed in (0, 0, 1))
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(same, field.name))
    assert not np.array_equal(one.threshold, other.threshold)


def test_cells_vary_by_one_within_a_case_along_the_axes() -> None:
    cases = [clean_case(seed, n_cells=200).encodings for seed in range(80)]
    mean, axes, between = axes_from_encodings(cases)
    residuals = np.concatenate([c - c.mean(axis=0) for c in cases]) @ axes
    np.testing.assert_allclose(np.cov(residuals.T), np.eye(N_NUMBERS), atol=0.05)
    np.testing.assert_allclose(between.mean(), 0.25, rtol=0.2)
    alone = encoding_measures(cases[0], mean, axes, between)
    assert np.exp(2 * alone[0]) == pytest.approx(N_NUMBERS, rel=0.8)


def test_too_few_cells_or_other_statistics_are_refused() -> None:
    case = clean_case(0)
    with pytest.raises(ValueError, match="at least 2 cells"):
        judge(reference(), statistics_of(case), case.encodings[:1])
    with pytest.raises(ValueError, match="expected"):
        judge(reference(), np.zeros(3), case.encodings)
    with pytest.raises(ValueError, match="1 patients"):
        fit_reference([case], [])


def test_each_patient_is_scored_by_a_model_that_has_not_seen_it() -> None:
    seen: list[list[int]] = []

    def fit_scorer(fitted: NDArray[np.intp]) -> Scorer:
        seen.append(fitted.tolist())
        number = len(seen) - 1
        return lambda bags: np.full(len(bags), float(number))

    patients = [str(place // 2) for place in range(28)]  # each has two cases
    labels = ["a", "a", "b", "b"] * 7
    scorers = held_out_scorers(patients, labels, fit_scorer)
    for place, scorer in enumerate(scorers):
        fitted = seen[int(scorer([(np.zeros((1, 1), np.float32), [])])[0])]
        assert patients[place] not in {patients[other] for other in fitted}
        assert len(fitted) % 2 == 0
    assert len(seen) == 5


# What NumPy and its BLAS do on a CPU that has AVX2 and no AVX-512.
AVX2 = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR", "OPENBLAS_CORETYPE": "Haswell"}
MEASURED = """
import sys
import numpy as np
from vexas_edge.cells.background import background_of_cell as slide
from vexas_edge.domain.gate import judge
from vexas_edge.domain.reference import reference_from_bytes
from vexas_edge.quality.statistics import case_statistics, cell_statistics

rng = np.random.default_rng(0)
cells = rng.integers(0, 256, (8, 160, 150, 3)).astype(np.uint8)
statistics = case_statistics([cell_statistics(cell, slide(cell), 112) for cell in cells])
encodings = rng.normal(size=(24, 12)).astype(np.float32)
found = judge(reference_from_bytes(open(sys.argv[1], "rb").read()), statistics, encodings)
print(statistics.tobytes().hex(), found.abstains, repr(found.finding.margin))
"""


def test_a_cpu_with_less_measures_the_same_and_judges_alike(tmp_path: Path) -> None:
    (tmp_path / "reference.npz").write_bytes(bytes_from_reference(reference()))
    outputs = []
    for less in ({}, AVX2):
        command = [sys.executable, "-c", MEASURED, str(tmp_path / "reference.npz")]
        ended = subprocess.run(command, env={**os.environ, **less}, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        outputs.append(ended.stdout.split())
    (statistics, abstains, margin), other = outputs
    assert [statistics, abstains] == other[:2]
    assert float(margin) == pytest.approx(float(other[2]), abs=1e-9)
