"""Holds each fold's patients, changed and clean, and other bags against a gate of the others."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import Queue, get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from training.measured.case import MeasuredCase
from training.patients.aggregates import DrawOptions
from training.patients.classifier import SvmOptions
from training.reference.fit import Changed, CleanCase, fit_reference
from training.reference.making import TrainingCase, shifts_of, svm_scorer, training_material
from vexas_edge.domain.gate import judge
from vexas_edge.domain.reference import Reference
from vexas_edge.quality.statistics import MEASURED_CELLS, case_statistics
from vexas_edge.scoring.abstention import CellCounts, reasons_to_abstain

POSITIVE = "tumoral"
FAMILIES = ("focus", "exposure", "colour", "stain", "file format", "size")
MINIMUM_CELLS = 10


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is fitted.

    seeds: of draws and trees; a family is left out of training with the first alone.
    folds: how many of the five are judged.
    fit_draws: medians of each patient that a classifier is fitted on.
    left_out: the families that are left out of training, one at a time.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    folds: int = 5
    fit_draws: int = 50
    left_out: tuple[str, ...] = FAMILIES


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """Everything that was measured, which is the same for all seeds.

    cases, raw: the cohort's P patients, normalised and as they are; of these alone all cells count.
    groups, families: of the C changes.
    bags: other bags, and whose cells some hold.
    """

    cases: Sequence[TrainingCase]
    raw: Sequence[TrainingCase]
    groups: Sequence[str]
    families: Sequence[str]
    bags: Sequence[MeasuredCase]
    patients_of_bags: Sequence[int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """What one gate says of the T patients that it has not seen, and of B bags.

    scores, raw_scores: of all cells, with and without normalising, float64 (T,).
    clean: whether the gate abstains, at 16 cells and at all, bool (2, T).
    shifts, abstains, named: by each tested change, (C', T).
    without: whether it abstains with each family left out of its training, for that family's
    changes, by family, bool (C'', T).
    bags: whether there are too few cells, and whether the gate abstains; -1 where the bag holds
    cells of a patient that it has seen, int64 (2, B).
    """

    judged: NDArray[np.intp]
    scores: NDArray[np.float64]
    raw_scores: NDArray[np.float64]
    clean: NDArray[np.bool_]
    shifts: NDArray[np.float64]
    abstains: NDArray[np.bool_]
    named: NDArray[np.object_]
    without: dict[str, NDArray[np.bool_]]
    bags: NDArray[np.int64]


def judged_folds(material: Material, effort: Effort) -> list[list[Fold]]:
    """What every fold's gate says, by seed."""
    labels = [case.group for case in material.cases]
    splits = list(StratifiedKFold(5, shuffle=True, random_state=0).split(labels, labels))
    chosen = splits[: effort.folds]
    tasks = [(seed, fitted, left) for seed in effort.seeds for fitted, left in chosen]
    context = get_context("spawn")
    cores: Any = context.Queue()
    for core in _cores():
        cores.put(core)
    work = partial(_judged_fold, effort)
    with ProcessPoolExecutor(2, context, _begin, (material, cores)) as pool:
        found = list(pool.map(work, tasks))
    return [found[start : start + len(chosen)] for start in range(0, len(found), len(chosen))]


def _cores() -> list[int]:
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    return [*allowed, *allowed][:2]


# What a process judges; handed over once, since it is large.
_material: list[Material] = []


def _begin(material: Material, cores: "Queue[int]") -> None:
    """Keep to one core: else onnxruntime would spin on the core of the other process."""
    _material.append(material)
    core = cores.get()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def _judged_fold(effort: Effort, task: tuple[int, NDArray[np.intp], NDArray[np.intp]]) -> Fold:
    (material,) = _material
    seed, fitted, left = task
    draws = DrawOptions(draws=effort.fit_draws, seed=seed)
    svm = SvmOptions(C=10, balanced=True, calibration="libsvm", draws=draws)
    own, tested = _with_changes(material, "fitted"), _with_changes(material, "")
    train = [replace_changes(material.cases[place], own) for place in fitted]
    families = [material.families[k] for k in own]
    fit = partial(svm_scorer, positive=POSITIVE, svm=svm)
    clean, changed = training_material(train, families, fit)
    reference = fit_reference(clean, changed, seed).reference
    scorer = fit(train)
    raw_scorer = fit([material.raw[place] for place in fitted])
    test = [replace_changes(material.cases[place], tested).measured for place in left]
    raw = [material.raw[place].measured for place in left]
    said = [_said(reference, case) for case in test]
    return Fold(
        judged=left,
        scores=np.concatenate([scorer([(c.encodings, c.identities)]) for c in test]),
        raw_scores=np.concatenate([raw_scorer([(c.encodings, c.identities)]) for c in raw]),
        clean=np.array([[_clean(reference, c, n) for c in test] for n in (MEASURED_CELLS, None)]),
        shifts=np.stack([shifts_of(case, scorer) for case in test], axis=1),
        abstains=np.array([[one[0] for one in of_case] for of_case in said]).T,
        named=np.array([[one[1] for one in of_case] for of_case in said], object).T,
        without=_without_families(material, effort, seed, test, clean, changed),
        bags=_judged_bags(reference, material, set(left.tolist())),
    )


def _without_families(
    material: Material,
    effort: Effort,
    seed: int,
    test: Sequence[MeasuredCase],
    clean: Sequence[CleanCase],
    changed: Sequence[Changed],
) -> dict[str, NDArray[np.bool_]]:
    """What gates say that never saw a family, nor a pair of changes, by that family."""
    if seed != effort.seeds[0]:
        return {}
    families = [material.families[k] for k in _with_changes(material, "")]
    without = {}
    for family in effort.left_out:
        rest = [change for change in changed if change.family not in (family, "")]
        blind = fit_reference(clean, rest, seed).reference
        places = [k for k, other in enumerate(families) if other == family]
        without[family] = np.array(
            [[_abstains(blind, case, k) for case in test] for k in places], bool
        )
    return without


def _with_changes(material: Material, group: str) -> list[int]:
    """The changes that gates are fitted on, or, if `group` is empty, the others."""
    is_fitted = [one.startswith("fitted") for one in material.groups]
    return [k for k, one in enumerate(is_fitted) if one == bool(group)]


def replace_changes(case: TrainingCase, wanted: Sequence[int]) -> TrainingCase:
    """The case with some of its changes alone."""
    changed = tuple(case.measured.changed[k] for k in wanted)
    return replace(case, measured=replace(case.measured, changed=changed))


def _said(reference: Reference, case: MeasuredCase) -> list[tuple[bool, str | None]]:
    """Whether the gate abstains from each changed case, and what it names."""
    judged = [judge(reference, b.statistics, b.encodings) for b in case.changed if b is not None]
    return [(one.abstains, one.finding.family) for one in judged]


def _abstains(reference: Reference, case: MeasuredCase, change: int) -> bool:
    bag = case.changed[change]
    return bag is None or judge(reference, bag.statistics, bag.encodings).abstains


def _clean(reference: Reference, case: MeasuredCase, n_cells: int | None) -> bool:
    statistics = case_statistics(list(case.statistics[:n_cells]))
    return judge(reference, statistics, case.encodings[:n_cells]).abstains


def _judged_bags(reference: Reference, material: Material, left: set[int]) -> NDArray[np.int64]:
    found = np.full((2, len(material.bags)), -1)
    for place, (bag, patient) in enumerate(
        zip(material.bags, material.patients_of_bags, strict=True)
    ):
        if patient < 0 or patient in left:
            n_cells = len(bag.identities)
            too_few = bool(reasons_to_abstain(CellCounts(used=n_cells), MINIMUM_CELLS))
            found[:, place] = too_few, n_cells < 2 or _clean(reference, bag, None)
    return found
