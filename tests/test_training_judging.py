"""Judging beside covariates: nothing is chosen on those who are judged, and figures are right."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.judging.beside import BesideOptions, judged_beside
from training.judging.comparison import balanced_accuracy, side_by_side
from training.judging.folds import fold_indices, halvings
from training.judging.joining import BOTH, COVARIATES, IMAGE, best_threshold
from training.judging.learnt import Learnt, Subjects
from training.judging.nested import judged_fold, judged_folds
from training.judging.stacking import (
    AskedCovariate,
    columns_of,
    covariates_of_patients,
    described,
)
from training.judging.words import lines_from_beside
from vexas_edge.covariates.covariate import Covariate
from vexas_edge.errors import InputError, UsageError
from vexas_edge.smear.cohort import CohortCase

AGE = AskedCovariate(name="age")


def subjects(n: int = 60, age_effect: float = 1.0, seed: int = 0) -> Subjects:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3 > 0
    ages = rng.normal(60, 10, n) + 10 * age_effect * truth
    return Subjects(
        names=tuple(f"P{i}" for i in range(n)),
        groups=tuple("sick" if positive else "well" for positive in truth),
        positive="sick",
        covariates=tuple({"age": f"{age:.1f}"} for age in ages),
    )


class Image:
    """A score that knows the truth, up to noise of its own for each patient."""

    def __init__(self, truth: np.ndarray, noise: float = 1.0) -> None:
        self.scores = 2.0 * truth + noise * np.random.default_rng(1).normal(size=len(truth))
        self.fitted: list[list[int]] = []

    def __call__(self, fit: np.ndarray) -> Learnt:
        self.fitted.append(fit.tolist())
        return Learnt(out_of_fold=self.scores[fit], score=lambda judge: self.scores[judge])


def test_the_threshold_has_the_best_balanced_accuracy_in_the_widest_gap() -> None:
    scores = np.array([0.1, 0.2, 0.7, 0.9, 0.95])
    truth = np.array([False, False, True, True, True])
    assert best_threshold(scores, truth) == pytest.approx(0.45)
    turned = best_threshold(scores, ~truth)
    assert balanced_accuracy(scores >= turned, ~truth) == 0.5


def test_image_and_covariates_together_do_better_than_each_alone() -> None:
    of = subjects(300)
    found = judged_beside(of, Image(of.truth), BesideOptions(asked=(AGE,), folds=5))
    aucs = {kind.kind: kind.separation.roc_auc for kind in found.nested.kinds}
    assert list(aucs) == [COVARIATES, IMAGE, BOTH]
    assert aucs[BOTH] > max(aucs[COVARIATES], aucs[IMAGE]) + 0.02
    over = {(d.first, d.second): d.roc_auc for d in found.nested.differences}
    assert over[BOTH, COVARIATES].low > 0
    assert over[BOTH, COVARIATES].value == pytest.approx(aucs[BOTH] - aucs[COVARIATES])
    for kind in found.nested.kinds:
        assert 0.7 < kind.slope < 1.5
        assert kind.balanced_accuracy.low < kind.balanced_accuracy.value


def test_every_patient_is_judged_once_by_what_others_taught() -> None:
    of = subjects()
    image = Image(of.truth)
    found = judged_beside(of, image, BesideOptions(asked=(AGE,), folds=5))
    assert sorted(found.scores) == sorted(of.names)
    assert len(image.fitted) == 5
    judged = [sorted(set(range(60)) - set(fit)) for fit in image.fitted]
    assert sorted(row for rows in judged for row in rows) == list(range(60))


def test_the_judged_patients_labels_and_values_move_nothing_that_is_chosen() -> None:
    of = subjects()
    fold = next(fold_indices(np.array(of.groups), 5))
    learnt = Image(of.truth)(fold[0])
    before = judged_fold(of, [AGE], learnt, fold)
    groups, values = list(of.groups), list(of.covariates)
    for row in fold[1]:
        groups[row] = "well" if groups[row] == "sick" else "sick"
    first = fold[1][0]
    values[first] = {"age": "99"}
    changed = replace(of, groups=tuple(groups), covariates=tuple(values))
    after = judged_fold(changed, [AGE], learnt, fold)
    for kind in (IMAGE, COVARIATES, BOTH):
        assert after.kinds[kind].threshold == before.kinds[kind].threshold
        same = after.kinds[kind].probabilities[1:] == before.kinds[kind].probabilities[1:]
        assert same.all()
    assert after.kinds[COVARIATES].probabilities[0] != before.kinds[COVARIATES].probabilities[0]


def test_a_score_that_has_the_covariates_in_it_is_both() -> None:
    of = subjects()
    folds = list(fold_indices(np.array(of.groups), 3))
    judged = judged_folds(of, [AGE], Image(of.truth), folds, joined=True)
    assert set(judged[0].kinds) == {COVARIATES, BOTH}


def test_noise_is_told_apart_by_nothing() -> None:
    """Not even in the mean; what leaks of those who are judged would lift it over a half."""
    aucs = []
    for seed in range(8):
        of = subjects(60, age_effect=0, seed=seed)
        options = BesideOptions(asked=(AGE,), folds=5, seed=seed)
        found = judged_beside(of, Image(np.zeros(60)), options)
        aucs += [kind.separation.roc_auc for kind in found.nested.kinds]
    assert np.mean(aucs) < 0.52


def test_halves_have_patients_of_each_group_and_their_means_are_shown() -> None:
    of = subjects()
    for fit, judge in halvings(np.array(of.groups)):
        assert len(fit) == len(judge) == 30
        assert not set(fit) & set(judge)
        assert of.truth[judge].sum() == 20
    found = judged_beside(of, Image(of.truth), BesideOptions(folds=3, halved=True))
    assert [one.kind for one in found.halvings] == [IMAGE]
    assert found.halvings[0].roc_auc.n == 10
    lines = "\n".join(lines_from_beside(found))
    assert "3 folds of 60 patients" in lines
    assert "mean of ten halvings" in lines


def test_net_benefit_is_of_true_positives_less_the_odds_of_false_ones() -> None:
    of = subjects(10)
    folds = list(fold_indices(np.array(of.groups), 2))
    found = side_by_side(judged_folds(of, (), Image(of.truth, noise=0), folds), of.truth, "how")
    (kind,) = found.kinds
    share = of.truth.mean()
    half = next(point for point in kind.decision_curve if point.level == 0.5)
    assert half.model == pytest.approx(share)  # all positives are called, and nobody else
    assert half.everybody == pytest.approx(share - (1 - share))
    assert kind.balanced_accuracy.value == 1


def test_a_covariate_is_described_by_the_values_of_those_to_fit_on() -> None:
    age = of_texts(AGE, ["50", "60", "70", ""])
    assert (age.words, age.log, age.mean, age.low, age.high) == (None, False, 60, 40, 80)
    count = of_texts(AskedCovariate(name="count", unit="10^9/L"), ["4", "40", "400"])
    assert (count.log, count.low, count.high, count.unit) == (True, 1, 1600, "10^9/L")
    assert count.mean == pytest.approx(np.log(40))
    sex = of_texts(AskedCovariate(name="sex"), ["M", "F", "F"])
    assert sex.words == {"F": 0, "M": 1}
    assert sex.mean == pytest.approx(1 / 3)
    children = of_texts(AskedCovariate(name="age"), ["0", "4", "9"])
    assert children.low == 0
    for texts in (["139", "140", "144"], ["1990", "1999"], ["1000", "1004"], ["0.02", "0.3"]):
        found = of_texts(AskedCovariate(name="x"), texts)
        assert found.low <= float(texts[0])
        assert float(texts[-1]) <= found.high


def of_texts(asked: AskedCovariate, texts: list[str]) -> Covariate:
    return described(asked, [{asked.name: text} for text in texts], range(len(texts)))


def test_what_a_covariate_is_does_not_depend_on_the_fold_but_its_figures_do() -> None:
    counts = [{"count": text} for text in ("0", "4", "40", "400")]
    asked = AskedCovariate(name="count")
    assert not described(asked, counts, [1, 2, 3]).log
    assert described(asked, counts, [1, 2, 3]).mean == 148
    sexes = [{"sex": text} for text in ("F", "F", "M", "F")]
    alike = described(AskedCovariate(name="sex"), sexes, [0, 1])
    assert (alike.words, alike.mean, alike.scale) == ({"F": 0, "M": 1}, 0, 1)
    assert columns_of([alike], sexes, ["a", "b", "c", "d"]).tolist() == [[0], [0], [1], [0]]


def test_two_samples_of_a_patient_must_say_the_same() -> None:
    rows = [
        CohortCase(
            patient="P1",
            sample=sample,
            path=Path(sample),
            label="sick",
            split="fit",
            covariates={"age": age},
        )
        for sample, age in (("S1", "50"), ("S2", "51"))
    ]
    assert covariates_of_patients(rows[:1]) == {"P1": {"age": "50"}}
    with pytest.raises(InputError, match="age of patient 'P1' is '51', and '50' in another row"):
        covariates_of_patients(rows)


@pytest.mark.parametrize(("n", "halved", "least"), [(3, False, 3), (9, True, 4)])
def test_too_few_patients_are_told_before_anything_is_learnt(
    n: int, halved: bool, least: int
) -> None:
    of = subjects(n)
    image = Image(of.truth)
    with pytest.raises(InputError, match=f"groups of at least {least} patients each; there are si"):
        judged_beside(of, image, BesideOptions(halved=halved))
    assert image.fitted == []


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["5", "5", "5"], "covariate 'x' is 5 for all patients"),
        (["", ""], "covariate 'x' is missing for all patients"),
        (["a", "b", "c"], "covariate 'x' has 3 different words, such as 'a', 'b', 'c'"),
        (["1", "2", "?"], "covariate 'x' has 3 different words"),
    ],
)
def test_a_covariate_that_tells_nothing_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        of_texts(AskedCovariate(name="x"), texts)


def test_a_missing_value_is_an_error_or_the_mean() -> None:
    known = ["50", "60", "70"]
    needed = of_texts(AGE, known)
    with pytest.raises(InputError, match="patient 'P7' has no age; fill it in"):
        columns_of([needed], [{"age": ""}], ["P7"])
    with pytest.raises(InputError, match="patient 'P7': age is 'old'; expected a number"):
        columns_of([needed], [{"age": "old"}], ["P7"])
    assumed = of_texts(replace(AGE, missing="mean"), known)
    assert columns_of([assumed], [{"age": ""}], ["P7"]).tolist() == [[0.0]]
    count = of_texts(AskedCovariate(name="age"), ["4", "40", "400"])
    with pytest.raises(InputError, match="patient 'P7': age is 0; it must be above 0"):
        columns_of([count], [{"age": "0"}], ["P7"])


def test_a_covariate_that_separates_without_exception_is_warned_of_and_stays_finite() -> None:
    of = subjects(40, age_effect=30)
    found = judged_beside(of, Image(of.truth), BesideOptions(asked=(AGE,), folds=4))
    (warning,) = found.warnings
    assert "the two groups are separated without exception by age" in warning
    assert all(0 < p[COVARIATES] < 1 for p in found.scores.values())
    assert judged_beside(of, Image(of.truth), BesideOptions(folds=4)).warnings == ()


def test_a_value_that_only_one_group_lacks_is_warned_of() -> None:
    of = subjects(40)
    gaps = tuple(
        {"age": "" if sick else own["age"]}
        for sick, own in zip(of.truth, of.covariates, strict=True)
    )
    asked = (replace(AGE, missing="mean"),)
    found = judged_beside(
        replace(of, covariates=gaps), Image(of.truth), BesideOptions(asked=asked, folds=4)
    )
    assert "separated without exception by whether age is missing" in found.warnings[0]
