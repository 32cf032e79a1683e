"""The paper's table: how well aggregates of unseen patients tell one group from others.

The patients are halved ten times, stratified, with the seeds 4512 + n; the SVM is fitted on one
half's aggregates and judged on the other's (Chabrun et al., CCLM 2023, 10.1515/cclm-2022-1283).
These figures are over aggregates; `training.patients.patientwise` has those over patients.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from sklearn.model_selection import train_test_split

from calibration.gate.separation import roc_auc
from training.judging.intervals import Mean, mean_of
from training.patients.aggregates import Patient
from training.patients.classifier import SvmOptions, fit_classifier, positive_probability
from vexas_edge.bundle.manifest import OTHERS
from vexas_edge.errors import InputError

HALVINGS = 10
FIRST_SEED = 4512
CALL_AT = 0.5


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One group against one or all others: figures over aggregates, means over the halvings.

    patients: the numbers of the positive and of the other patients.
    """

    positive: str
    against: tuple[str, ...]
    patients: tuple[int, int]
    roc_auc: Mean
    sensitivity: Mean
    specificity: Mean


def compare_groups(
    patients: Sequence[Patient], order: Sequence[str], options: SvmOptions
) -> tuple[Comparison, ...]:
    """Each pair of groups, and the last group of `order` against all others together.

    Of a pair, the group that comes later in `order` is the positive one.

    Args:
        options: of the SVM; the paper calibrated its probabilities by "libsvm". The seed of the
            draws is that of the first halving; each further one draws anew, with the next seed.

    Raises:
        InputError: a group has fewer than two patients, so that a half would have none of it.
    """
    counts = {group: sum(patient.group == group for patient in patients) for group in order}
    few = [group for group, n in counts.items() if n < 2]
    if few:
        raise InputError(
            f"group {few[0]!r} has {counts[few[0]]} patients; comparing groups needs at least two"
        )
    *others, positive = order
    compared: list[tuple[str, tuple[str, ...]]] = [(positive, (other,)) for other in others]
    if len(others) > 1:
        compared += [(positive, tuple(others))]
        compared += [(later, (earlier,)) for earlier, later in combinations(others, 2)]
    return tuple(_compare(patients, *groups, options) for groups in compared)


def against_others(patients: Sequence[Patient], positive: str) -> tuple[Patient, ...]:
    """The same patients in two groups: `positive`, and all others, by the name of `other_group`."""
    name = other_group([patient.group for patient in patients], positive)
    return tuple(p if p.group == positive else replace(p, group=name) for p in patients)


def other_group(groups: Iterable[str], positive: str) -> str:
    """What all outside the positive group are called: their group if it is one, else `OTHERS`."""
    rest = set(groups) - {positive}
    return rest.pop() if len(rest) == 1 else OTHERS


def compared_patients(patients: Sequence[Patient], found: Comparison) -> tuple[Patient, ...]:
    """The patients of the groups that were compared."""
    groups = (found.positive, *found.against)
    return tuple(patient for patient in patients if patient.group in groups)


def _compare(
    patients: Sequence[Patient], positive: str, against: tuple[str, ...], options: SvmOptions
) -> Comparison:
    wanted = [patient for patient in patients if patient.group in (positive, *against)]
    two = against_others(wanted, positive)
    groups = [patient.group for patient in wanted]
    figures = [_halving(two, groups, positive, n, options) for n in range(HALVINGS)]
    aucs, sensitivities, specificities = zip(*figures, strict=True)
    return Comparison(
        positive=positive,
        against=against,
        patients=(groups.count(positive), len(groups) - groups.count(positive)),
        roc_auc=mean_of(aucs),
        sensitivity=mean_of(sensitivities),
        specificity=mean_of(specificities),
    )


def _halving(
    patients: Sequence[Patient],
    groups: Sequence[str],
    positive: str,
    n: int,
    options: SvmOptions,
) -> tuple[float, float, float]:
    """ROC-AUC, sensitivity and specificity over the aggregates of the second half.

    Args:
        groups: of the patients, before all but one were joined; each half has some of each.
    """
    drawn = replace(options.draws, seed=options.draws.seed + n)
    options = replace(options, draws=drawn)
    fit, judge = train_test_split(
        np.arange(len(patients)),
        train_size=0.5,
        random_state=FIRST_SEED + n,
        stratify=groups,
    )
    classifier = fit_classifier([patients[i] for i in fit], options)
    scores = np.concatenate(
        [positive_probability(classifier, patients[i], options.draws, positive) for i in judge]
    )
    is_positive = np.array([patients[i].group == positive for i in judge])
    truth = np.repeat(is_positive, options.draws.draws)
    calls = scores >= CALL_AT
    return roc_auc(scores, truth), float(calls[truth].mean()), float((~calls[~truth]).mean())
