"""Makes a model's reference from its measured training cases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.encodings.table import Encodings
from training.measured.case import MeasuredCase
from training.measured.measuring import NamedChange
from training.patients.aggregates import Patient, patients_from_encodings
from training.patients.classifier import SvmOptions, fit_classifier
from training.reference.bag_scoring import WeighCells, bag_scorer
from training.reference.fit import Changed, CleanCase, FittedReference, fit_reference
from training.reference.held_out import Scorer, held_out_scorers
from training.reference.scoring import scorer_from_classifier

# Medians that a score is the mean of, where only its shift against the same draws is of interest.
SCORED_DRAWS = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingCase:
    """One case of one model.

    group: the class of the patient.
    """

    patient: str
    sample: str
    group: str
    measured: MeasuredCase


# From the cases of some patients to a scorer that they taught.
FitScorer = Callable[[Sequence[TrainingCase]], Scorer]


def reference_from_cases(
    cases: Sequence[TrainingCase], changes: Sequence[NamedChange], fit: FitScorer | None
) -> FittedReference:
    """The reference of a model; arguments and errors are those of `training_material`.

    Args:
        fit: None where there are too few patients of a group to score any; there can be no changes
            then either.
    """
    if fit is None:
        return fit_reference([_clean_case(case, None) for case in cases], ())
    return fit_reference(*training_material(cases, [change.family for change in changes], fit))


def without_scores(fitted: FittedReference) -> FittedReference:
    """The same, without scores of the training patients."""
    reference = replace(fitted.reference, clean_scores=np.empty(0))
    return replace(fitted, reference=reference, scores=(None,) * len(fitted.scores))


def training_material(
    cases: Sequence[TrainingCase], families: Sequence[str], fit: FitScorer
) -> tuple[list[CleanCase], list[Changed]]:
    """What a reference is fitted on: the cases, scored by classifiers that have not seen them.

    Args:
        cases: each with at least two cells, and changed by each of the changes.
        families: of these changes.
        fit: gives the scorer that some of the cases teach.

    Raises:
        InputError: a group has too few patients for a classifier, or two patients share a cell.
    """
    scorers = held_out_scorers(
        [case.patient for case in cases],
        [case.group for case in cases],
        lambda chosen: fit([cases[place] for place in chosen]),
    )
    measured = [case.measured for case in cases]
    whole = [(case.encodings, case.identities) for case in measured]
    scores = [scorer([bag])[0] for scorer, bag in zip(scorers, whole, strict=True)]
    clean = [_clean_case(case, float(s)) for case, s in zip(cases, scores, strict=True)]
    shifts = np.stack([shifts_of(m, scorer) for m, scorer in zip(measured, scorers, strict=True)])
    return clean, changed_cases(measured, families, shifts)


def _clean_case(case: TrainingCase, score: float | None) -> CleanCase:
    return CleanCase(
        patient=case.patient,
        encodings=case.measured.encodings,
        statistics=case.measured.statistics,
        score=score,
    )


def shifts_of(case: MeasuredCase, scorer: Scorer) -> NDArray[np.float64]:
    """How far each change moves the case's score, float64 (C,); NaN where it leaves no cells.

    Against the same cells unchanged, with the same draws of them.
    """
    found = np.full(len(case.changed), np.nan)
    there = [place for place, bag in enumerate(case.changed) if bag is not None]
    bags = [bag for bag in case.changed if bag is not None]
    kept = [tuple(np.flatnonzero(bag.kept).tolist()) for bag in bags]
    identities = {rows: tuple(case.identities[row] for row in rows) for rows in kept}
    before = scorer([(case.encodings[list(rows)], own) for rows, own in identities.items()])
    unchanged = dict(zip(identities, before, strict=True))
    after = scorer([(bag.encodings, identities[k]) for bag, k in zip(bags, kept, strict=True)])
    found[there] = after - np.array([unchanged[rows] for rows in kept])
    return found


def changed_cases(
    cases: Sequence[MeasuredCase], families: Sequence[str], shifts: NDArray[np.float64]
) -> list[Changed]:
    """What each change did to the cases.

    Args:
        families: of each change.
        shifts: of each case's score by each change, float64 (P, C), as `shifts_of` gives them.
    """
    changed = []
    for number, family in enumerate(families):
        places = np.flatnonzero(np.isfinite(shifts[:, number]))
        bags = [
            bag for place in places.tolist() if (bag := cases[place].changed[number]) is not None
        ]
        changed.append(
            Changed(
                family=family,
                cases=places,
                encodings=[bag.encodings for bag in bags],
                statistics=np.array([bag.statistics for bag in bags]),
                shifts=shifts[places, number],
            )
        )
    return changed


def svm_scorer(cases: Sequence[TrainingCase], positive: str, svm: SvmOptions) -> Scorer:
    """A scorer by the classifier of medians that is fitted on these cases."""
    classifier = fit_classifier(_patients(cases), svm)
    return scorer_from_classifier(classifier, positive, replace(svm.draws, draws=SCORED_DRAWS))


def scorer_of_bag(cases: Sequence[TrainingCase], positive: str, weigh: WeighCells) -> Scorer:
    """A scorer by the head of a bag that is fitted on these cases."""
    bags = [(case.measured.encodings, case.measured.identities) for case in cases]
    return bag_scorer(bags, [case.group == positive for case in cases], weigh)


def _patients(cases: Sequence[TrainingCase]) -> tuple[Patient, ...]:
    """The patients, each with the distinct cells of all of its cases."""
    counts = [len(case.measured.identities) for case in cases]

    def of_cells(of_cases: list[str]) -> tuple[str, ...]:
        return tuple(np.repeat(of_cases, counts).tolist())

    return patients_from_encodings(
        Encodings(
            encodings=np.concatenate([case.measured.encodings for case in cases]),
            groups=of_cells([case.group for case in cases]),
            patients=of_cells([case.patient for case in cases]),
            samples=of_cells([case.sample for case in cases]),
            cells=("",) * sum(counts),
            identities=tuple(i for case in cases for i in case.measured.identities),
        )
    )
