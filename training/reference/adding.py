"""Adds to a bundle what each model's training patients look like: its `reference.npz`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.additions import NewFile, write_with_files
from training.measured.measuring import LEAST_CELLS, NamedChange
from training.measured.work_folder import Measurements
from training.patients.aggregates import DrawOptions
from training.patients.classifier import SvmOptions
from training.reference.changes import fitted_changes
from training.reference.fit import FittedReference
from training.reference.making import (
    FitScorer,
    TrainingCase,
    reference_from_cases,
    scorer_of_bag,
    svm_scorer,
    without_scores,
)
from training.reference.pairs import fitted_pairs
from training.talk import Talk
from vexas_edge.bundle.archive import Bundle, file_entry
from vexas_edge.bundle.contract import CELL_WEIGHTS, COVARIATES
from vexas_edge.bundle.graphs import REFERENCE
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.bundle.models import Bag, Medians, Model
from vexas_edge.domain.performance import Performance, text_of_rate
from vexas_edge.domain.reference import bytes_from_reference
from vexas_edge.domain.words import LEAST_PATIENTS, missing_gate_words
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import InputError
from vexas_edge.runtime.session import Sessions
from vexas_edge.smear.cohort import CohortCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.text import listed


@dataclass(frozen=True, kw_only=True)
class TrainingCohort:
    """The patients that a bundle's classifiers were fitted on.

    split: what they are called, for messages.
    svm: how that of each model of medians was fitted; how cells are drawn the bundle says itself.
    work: the folder that measurements are kept in.
    """

    rows: Sequence[CohortCase]
    split: str
    reading: ReadOptions
    svm: Mapping[str, SvmOptions]
    work: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class MadeReference:
    """The reference of one model.

    left_out: the samples with too few cells.
    stated: how the cases are called by classifiers that have not seen them; None where there are
    too few patients for such classifiers.
    """

    model: str
    fitted: FittedReference
    left_out: tuple[str, ...]
    stated: Performance | None


def add_references(
    bundle: Bundle, training: TrainingCohort, to: Path, talk: Talk
) -> list[MadeReference]:
    """Make the reference of each model, and write the bundle with them and a new card.

    Raises:
        InputError: a case cannot be read, or the patients are not what a reference needs.
        HostError: the bundle cannot be written.
    """
    bundle.check_scores_patients("train reference")
    bundle.check_takes_images("train reference")
    groups = {row.patient: group_of(row.label, bundle.manifest) for row in training.rows}
    for name, svm in training.svm.items():
        least = _least_patients(bundle.manifest.models[name], svm)
        check_groups(groups, least, f"the split {training.split!r}")
    measurements = Measurements(
        rows=training.rows,
        changes=all_changes() if len(groups) >= LEAST_PATIENTS else (),
        work=training.work,
        reading=training.reading,
    )
    options = EngineOptions(engine="onnxruntime", device="cpu")
    with Sessions(bundle, options, "fp32") as sessions:
        made = [
            _made(name, sessions, measurements, groups, training, talk)
            for name in bundle.manifest.models
        ]
    write_references(bundle, made, to)
    return made


def all_changes() -> tuple[NamedChange, ...]:
    """The changes that a gate is fitted on."""
    return tuple(chain[NamedChange](fitted_changes(), fitted_pairs()))


def group_of(label: str, manifest: Manifest) -> str:
    """The bundle's class of a patient with this label: itself, or all others joined into one.

    Raises:
        InputError: it is none of the bundle's classes.
    """
    if group := manifest.class_of(label):
        return group
    raise InputError(
        f"the cohort's label {label!r} is not a class of the bundle, which are "
        f"{', '.join(manifest.classes)}; name a cohort with the labels that it was trained on"
    )


def check_groups(groups: Mapping[str, str], least: int, where: str) -> bool:
    """Whether each patient can be scored by a classifier that has not seen it.

    Args:
        groups: of each patient.
        least: how many patients a group needs for that.
        where: the patients are, for the message.

    Raises:
        InputError: there is one group; or a group has too few patients, although there are so many
            patients that a gate is to be made.
    """
    counts = {group: list(groups.values()).count(group) for group in sorted(groups.values())}
    if len(counts) < 2:
        raise InputError(
            f"{where} has {len(groups)} patients, of the groups: {', '.join(counts) or 'none'}; a "
            "reference needs patients of two groups at least"
        )
    few = [group for group, n_patients in counts.items() if n_patients < least]
    if few and len(groups) >= LEAST_PATIENTS:
        raise InputError(
            f"{where} has {counts[few[0]]} patients of the group {few[0]!r}; scoring each by a "
            f"classifier that has not seen it needs at least {least}"
        )
    return not few


def _made(
    name: str,
    sessions: Sessions,
    measurements: Measurements,
    groups: Mapping[str, str],
    training: TrainingCohort,
    talk: Talk,
) -> MadeReference:
    manifest = sessions.bundle.manifest
    model = manifest.models[name]
    measured = measurements.of_model(name, sessions, talk)
    cases = [
        TrainingCase(
            patient=row.patient, sample=row.sample, group=groups[row.patient], measured=case
        )
        for row, case in zip(measurements.rows, measured, strict=True)
    ]
    least = max(LEAST_CELLS, model.minimum_cells)
    used = [case for case in cases if len(case.measured.identities) >= least]
    where = f"model {name!r}, which needs {least} cells a case,"
    own = {case.patient: case.group for case in used}
    scorable = check_groups(own, _least_patients(model, training.svm[name]), where)
    if scorable:
        talk.say(f"{name}: scoring {len(used)} cases by classifiers that have not seen them ...")
    fit = _fit_scorer(name, sessions, training.svm[name]) if scorable else None
    fitted = reference_from_cases(used, measurements.changes, fit)
    if isinstance(model.aggregation, Bag):  # what scored them is no bag, and knew no covariate
        fitted = without_scores(fitted)
    return MadeReference(
        model=name,
        fitted=fitted,
        left_out=tuple(c.sample for c in cases if len(c.measured.identities) < least),
        stated=stated_from_scores(
            [case.group == manifest.positive for case in used], fitted.scores, model.threshold
        ),
    )


def _fit_scorer(name: str, sessions: Sessions, svm: SvmOptions) -> FitScorer:
    """How a classifier of the model's kind is fitted on some of the cases."""
    manifest = sessions.bundle.manifest
    model, positive = manifest.models[name], manifest.positive_class
    if isinstance(model.aggregation, Medians):
        recipe = model.aggregation
        draws = DrawOptions(draws=recipe.fit_draws, size=recipe.draw_size, seed=recipe.seed)
        return partial(svm_scorer, positive=positive, svm=replace(svm, draws=draws))
    none = np.zeros((1, len(model.covariates)), np.float32)

    def weigh(encodings: NDArray[np.float32]) -> NDArray[np.float64]:
        found = sessions.classify(name, encodings, {COVARIATES: none})[CELL_WEIGHTS]
        return found[:, 0].astype(np.float64)

    return partial(scorer_of_bag, positive=positive, weigh=weigh)


def _least_patients(model: Model, svm: SvmOptions) -> int:
    """How many patients a group needs for classifiers that have not seen some of them."""
    is_bag = isinstance(model.aggregation, Bag)
    return 2 if is_bag or (svm.calibration == "libsvm" and not svm.choose) else 3


def stated_from_scores(
    positive: Sequence[bool], scores: Sequence[float | None], threshold: float
) -> Performance | None:
    """How cases are called at this threshold; None where one has no score.

    Args:
        positive: whether each case is of the positive class.
    """
    called = [score >= threshold for score in scores if score is not None]
    if len(called) < len(positive):
        return None
    pairs = list(zip(positive, called, strict=True))
    return Performance(
        positives=sum(positive),
        positives_called=pairs.count((True, True)),
        negatives=len(positive) - sum(positive),
        negatives_called=pairs.count((False, True)),
    )


def write_references(bundle: Bundle, made: Sequence[MadeReference], to: Path) -> None:
    """Write the bundle with these references and a new card."""
    new = []
    for one in made:
        content = bytes_from_reference(one.fitted.reference)
        figures: dict[str, Any] = {
            "patients": one.fitted.reference.n_patients,
            "clean_abstain": one.fitted.clean_abstain,
        }
        if one.stated:
            figures["stated"] = msgspec.to_builtins(one.stated)
        entry = file_entry(content, measured=figures)
        new.append(NewFile(model=one.model, file=REFERENCE, content=content, entry=entry))
    write_with_files(bundle, new, to)


def sentence_from_made(made: MadeReference) -> str:
    """How many patients a model's reference has, whether there is a gate, and whom it leaves out.

    The share of clean cases is that of cases which were held out of everything but the limits.
    """
    reference = made.fitted.reference
    gate = missing_gate_words({made.model: reference.n_patients}) or "a domain gate"
    share = f"{made.fitted.clean_abstain:.1%}".replace("%", " %")
    text = f"{made.model}: {reference.n_patients} patients, {gate}; {share} of clean cases abstain"
    if made.stated:
        true, false = made.stated.sensitivity, made.stated.false_positives
        text += (
            f"; out of fold {text_of_rate(true)} positives and {text_of_rate(false)} others are "
            "called positive"
        )
    if made.left_out:
        text += f"; left out for too few cells: {listed(made.left_out)}"
    return text
