"""Fits a model's reference: from training patients' clean and changed cases to limits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.reference.axes import axes_from_encodings
from training.reference.forests import family_forest, harm_forest
from vexas_edge.domain.gate import gate_values
from vexas_edge.domain.measures import encoding_measures, family_features, harm_features
from vexas_edge.domain.reference import GATES, Reference
from vexas_edge.domain.words import LEAST_PATIENTS
from vexas_edge.quality.statistics import MEASURED_CELLS, case_statistics

# Limits are found at bags of these sizes, or of all cells where a patient has fewer; trees learn
# from those that are not too small to tell much.
SIZES = (4, 8, 12, 16, 24, 40)
_TAUGHT_SIZES = SIZES[2:]

_FOLDS = 5
_CLEAN_SHARE = 0.97  # of clean cases, that a model answers
_CLEAN_WEIGHT = 10.0  # of a patient's clean rows together, against one of each changed row
_NAMED_SHIFT = 0.05  # changes that move a score by more teach the trees that name families
_SPREAD_FLOOR = 0.25  # of a statistic's spread over cases, of its standard deviation
_LEAST_SPREAD = 1e-3  # of its size, and in absolute terms: drawn cells have no spread at all
# The gates that hardly ever err have wider limits of their own, which leaves more of the clean
# cases that may abstain to the trees.
_WIDTH = {"harm": 1.0, "foreign case": 2.0, "foreign cells": 2.0}
_OTHER_WIDTH = 3.0
_LEAST_SCALE = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class CleanCase:
    """One case of a training patient, clean; cells in the order of their identities.

    patient: whose it is; no patient's cases are ever held out of a fit in part.
    encodings: float32 (N, D), of normalised cells.
    statistics: float64 (n, S), of raw images, of at most the first 16 cells.
    score: by models that have not seen the patient; None where there are too few for such models.
    """

    patient: str
    encodings: NDArray[np.float32]
    statistics: NDArray[np.float64]
    score: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Changed:
    """One change of the images of training cases, P of them.

    family: of the change; empty if there are several.
    cases: which they are, as ascending indices into the clean cases, int64 (P,); a case that the
    change leaves without cells is not among them.
    encodings: of each case's first cells, float32 (n, D), n at most 16.
    statistics: of the case, float64 (P, F).
    shifts: of the score against the same cells unchanged, by models that had not seen the patient,
    float64 (P,).
    """

    family: str
    cases: NDArray[np.intp]
    encodings: Sequence[NDArray[np.float32]]
    statistics: NDArray[np.float64]
    shifts: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedReference:
    """A reference, and what was found while its limits were set.

    clean_abstain: the share of clean cases, held out of everything but the limits, that lie over
    them; the mean over the sizes of a bag.
    scores: of the cases in their order, by models that have not seen them; None without such.
    """

    reference: Reference
    clean_abstain: float
    scores: tuple[float | None, ...]


def fit_reference(
    cases: Sequence[CleanCase], changed: Sequence[Changed], seed: int = 0
) -> FittedReference:
    """The reference of these patients; the same arguments, the same reference.

    Under 40 patients it has no trees, and `changed` is not looked at. Its limits are set on
    patients that were held out of everything else in turn, a fifth at a time: of their cases 3 %
    may lie over any gate, at each size of a bag.

    Raises:
        ValueError: there are fewer than two patients.
    """
    patients = list(dict.fromkeys(case.patient for case in cases))
    if len(patients) < 2:
        raise ValueError(f"{len(patients)} patients; expected at least 2")
    used = changed if len(patients) >= LEAST_PATIENTS else ()
    fold_of_patient = np.random.default_rng(seed).permutation(len(patients)) % _FOLDS
    folds = np.array([fold_of_patient[patients.index(case.patient)] for case in cases])
    held_out = np.full((len(GATES), len(SIZES), len(cases)), np.nan)
    for fold in np.unique(folds):
        rest = np.flatnonzero(folds != fold)
        reference = _without_limits(cases, used, rest, seed)
        for place in np.flatnonzero(folds == fold).tolist():
            for k, size in enumerate(SIZES):
                values = _clean_values(reference, cases[place], size)
                held_out[[GATES.index(name) for name in values], k, place] = list(values.values())
    reference, clean_abstain = _with_limits(
        _without_limits(cases, used, np.arange(len(cases)), seed), held_out
    )
    return FittedReference(
        reference=reference,
        clean_abstain=clean_abstain,
        scores=tuple(case.score for case in cases),
    )


def _with_limits(reference: Reference, held_out: NDArray[np.float64]) -> tuple[Reference, float]:
    """Each gate's usual value and unit, and the common limit in these units, at each size.

    Returns the reference with them, and the share of clean cases over the limit.

    Args:
        held_out: values of cases that were held out, float64 (G, K, P), NaN for gates not used.
    """
    used = np.isfinite(held_out).all(axis=(1, 2))
    centre, scale = np.zeros(held_out.shape[:2]), np.ones(held_out.shape[:2])
    for row in np.flatnonzero(used):
        centre[row] = np.median(held_out[row], axis=1)
        above = np.quantile(held_out[row], _CLEAN_SHARE, axis=1) - centre[row]
        width = _WIDTH.get(GATES[row], _OTHER_WIDTH)
        scale[row] = np.maximum(width * above, _LEAST_SCALE)
    heights = (held_out[used] - centre[used][..., None]) / scale[used][..., None]
    highest = heights.max(axis=0)
    limit = np.maximum(np.quantile(highest, _CLEAN_SHARE, axis=1), _LEAST_SCALE)
    found = replace(reference, gate_centre=centre, gate_scale=scale, limit=limit)
    return found, float((highest > limit[:, None]).mean())


def _without_limits(
    cases: Sequence[CleanCase], changed: Sequence[Changed], chosen: NDArray[np.intp], seed: int
) -> Reference:
    """The reference of the chosen cases, with nothing yet in its limits."""
    clean = [cases[place] for place in chosen]
    statistics = np.stack([case_statistics(list(c.statistics[:MEASURED_CELLS])) for c in clean])
    centre, spread = _centre_and_spread(statistics)
    axes = axes_from_encodings([case.encodings for case in clean])
    blank = np.ones((len(GATES), len(SIZES)))
    reference = Reference(
        n_patients=len({case.patient for case in clean}),
        centre=centre,
        spread=spread,
        low=statistics.min(axis=0),
        high=statistics.max(axis=0),
        harm=None,
        families=None,
        family_names=(),
        mean=axes.mean,
        axes=axes.axes,
        between=axes.between,
        sizes=np.array(SIZES, np.float64),
        gate_centre=blank,
        gate_scale=blank,
        limit=blank[0],
        clean_scores=np.sort(np.array([c.score for c in clean if c.score is not None], float)),
    )
    return _with_trees(reference, clean, changed, chosen, seed) if changed else reference


def _centre_and_spread(
    statistics: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each statistic the median over cases, and the larger of two spreads, floored."""
    centre = np.median(statistics, axis=0)
    robust = 1.4826 * np.median(np.abs(statistics - centre), axis=0)
    spread = np.maximum(robust, _SPREAD_FLOOR * statistics.std(axis=0))
    return centre, np.maximum(spread, _LEAST_SPREAD * np.maximum(np.abs(centre), 1))


def _with_trees(
    reference: Reference,
    clean: Sequence[CleanCase],
    changed: Sequence[Changed],
    chosen: NDArray[np.intp],
    seed: int,
) -> Reference:
    """The reference with trees fitted on the chosen cases, clean at all sizes and changed."""
    bags = [_bag(case, size) for size in _TAUGHT_SIZES for case in clean]
    statistics = [np.stack([bag[1] for bag in bags])]
    measures = [np.stack([_measures(reference, bag[0]) for bag in bags])]
    moved, of_family = [], [""] * len(bags)
    for change in changed:
        rows = np.flatnonzero(np.isin(change.cases, chosen)).tolist()
        if rows:
            statistics.append(change.statistics[rows])
            measures += [_measures(reference, change.encodings[row])[None] for row in rows]
            moved.append(change.shifts[rows])
            of_family += [change.family] * len(rows)
    shifts = np.concatenate([np.zeros(len(bags)), *moved])
    weights = np.ones(len(shifts))
    weights[: len(bags)] = _CLEAN_WEIGHT / len(_TAUGHT_SIZES)
    families = np.array(of_family)
    asked = np.concatenate(statistics), np.concatenate(measures)
    harm = harm_forest(harm_features(*asked), shifts, weights, seed)
    named = (families != "") & (np.abs(shifts) > _NAMED_SHIFT)
    names = tuple(np.unique(families[named]).tolist())
    if len(names) < 2:  # a sturdy model: there is nothing to tell apart
        return replace(reference, harm=harm)
    forest = family_forest(family_features(*asked)[named], families[named].tolist(), seed)
    return replace(reference, harm=harm, families=forest, family_names=names)


def _bag(case: CleanCase, size: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Encodings and statistics of the case's first cells."""
    n_measured = min(size, MEASURED_CELLS)
    return case.encodings[:size], case_statistics(list(case.statistics[:n_measured]))


def _measures(reference: Reference, encodings: NDArray[np.float32]) -> NDArray[np.float64]:
    return encoding_measures(encodings, reference.mean, reference.axes, reference.between)


def _clean_values(reference: Reference, case: CleanCase, size: int) -> dict[str, float]:
    encodings, statistics = _bag(case, size)
    return gate_values(reference, statistics, _measures(reference, encodings))
