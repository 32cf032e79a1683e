"""Judges a score of images beside covariates, by folds and, if asked, by halvings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.judging.comparison import OverHalvings, SideBySide, over_halvings, side_by_side
from training.judging.folds import fold_indices, halvings
from training.judging.learnt import Learn, Subjects
from training.judging.nested import JudgedFold, judged_folds
from training.judging.stacking import AskedCovariate, columns_of, described, separating
from vexas_edge.errors import InputError

# What is left to fit on must have two patients of each group, for inner folds.
_LEAST, _LEAST_HALVED = 3, 4


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A score of images, covariates, and both together, on the same patients.

    nested: by folds, each patient judged once.
    halvings: as the lymphocytosis study judged; empty if not asked for.
    warnings: about the covariates.
    scores: each patient's probability by the kind of score, by name.
    groups: of these patients, in the same order.
    """

    positive: str
    nested: SideBySide
    halvings: tuple[OverHalvings, ...]
    warnings: tuple[str, ...]
    scores: dict[str, dict[str, float]]
    groups: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BesideOptions:
    """How it is judged.

    asked: the covariates.
    folds: of patients.
    halved: whether ten halvings are judged, too.
    joined: whether the score that is learnt has the covariates in it.
    seed: of folds and halvings.
    """

    asked: tuple[AskedCovariate, ...] = ()
    folds: int = 5
    halved: bool = False
    joined: bool = False
    seed: int = 0


def judged_beside(subjects: Subjects, learn: Learn, options: BesideOptions) -> Beside:
    """The figures.

    Raises:
        UsageError, InputError: a covariate cannot be used, or a group has too few patients.
    """
    groups = np.array(subjects.groups)
    _check_enough(subjects.groups, halved=options.halved)
    asked, joined, truth = options.asked, options.joined, subjects.truth
    warning = _warning(subjects, asked)
    folds = list(fold_indices(groups, options.folds, options.seed))
    judged = judged_folds(subjects, asked, learn, folds, joined=joined)
    halves = list(halvings(groups, options.seed)) if options.halved else []
    of_halves = judged_folds(subjects, asked, learn, halves, joined=joined)
    scores = scores_by_patient(judged, subjects.names)
    group_of = dict(zip(subjects.names, subjects.groups, strict=True))
    return Beside(
        positive=subjects.positive,
        nested=side_by_side(judged, truth, f"{len(folds)} folds of {len(groups)} patients"),
        halvings=over_halvings(of_halves, truth) if of_halves else (),
        warnings=(warning,) if warning else (),
        scores=scores,
        groups=tuple(group_of[name] for name in scores),
    )


def _check_enough(groups: Sequence[str], *, halved: bool) -> None:
    counts = {group: groups.count(group) for group in sorted(set(groups))}
    least = _LEAST_HALVED if halved else _LEAST
    if len(counts) < 2 or min(counts.values()) < least:
        found = ", ".join(f"{group} {n}" for group, n in counts.items())
        raise InputError(
            f"judging needs two groups of at least {least} patients each; there are {found}"
        )


def scores_by_patient(
    folds: Sequence[JudgedFold], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Each patient's probability by every kind of score."""
    return {
        names[row]: {kind: float(v.probabilities[place]) for kind, v in fold.kinds.items()}
        for fold in folds
        for place, row in enumerate(fold.judged.tolist())
    }


def _warning(subjects: Subjects, asked: Sequence[AskedCovariate]) -> str:
    """What is to be warned of; a value that only one group lacks tells the group, too."""
    values, everybody = subjects.covariates, range(len(subjects.names))
    found = [described(one, values, everybody) for one in asked]
    taken = columns_of(found, values, subjects.names)
    columns = {one.name: column for one, column in zip(asked, taken.T, strict=True)}
    for one in asked:
        lacking = np.array([float(not own[one.name]) for own in values])
        columns[f"whether {one.name} is missing"] = lacking
    return separating(columns, subjects.truth)
