"""Scores each case twice: as it was signed, and with all names hidden.

Without names, the model that names cells decides which of them each score stands on. Both ways
have the same cells, those that names say a class of, so how far a score moves is what naming does.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from training.judging.comparison import Bounded, bounded
from training.judging.intervals import Share, share_of
from training.talk import Talk
from vexas_edge.errors import InputError, UsageError
from vexas_edge.results.values import ModelScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.score import score_case
from vexas_edge.smear.case import UNNAMED, Case, Cell
from vexas_edge.smear.cohort import CohortCase, read_row
from vexas_edge.smear.options import ReadOptions

_RESAMPLES = 2000
# Of the distances that scores moved, the one that so many are within is told beside the median.
_MOST = 0.9


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one model says of one case.

    score, call: None where it abstained, for `reasons`.
    n_cells: how many distinct cells it could use.
    """

    score: float | None
    call: bool | None
    n_cells: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BothAnswers:
    """One model's answers for one case: as signed, and without the names.

    n_same: how many of the cells it used as signed were among those it used without names.
    """

    patient: str
    sample: str
    model: str
    signed: Answer
    blind: Answer
    n_same: int

    @property
    def shift(self) -> float | None:
        """How far the score is over that as signed; None unless both ways gave one."""
        if self.signed.score is None or self.blind.score is None:
            return None
        return self.blind.score - self.signed.score


@dataclass(frozen=True, kw_only=True)
class Moves:
    """How far one model's scores moved.

    n_cases: all. n_answered: those with a score both ways, which the figures below are of.
    n_lost, n_gained: those with a score only as signed, or only without names.
    n_patients: of the cases with a score both ways; one with several counts by their mean.
    spread: the standard deviation of patients' scores as signed; None for fewer than two.
    median, most: of the patients' distances, and the smallest that nine tenths are within.
    shift: the median of how far scores are higher without names, lower ones counting as negative.
        Intervals of all three are from resampling patients; None where no case has both scores.
    calls_changed: patients with a case that is called otherwise.
    n_cells, n_same: cells that it used as signed, and how many of them without names, too.
    n_others: cells that it used without names alone.
    """

    model: str
    n_cases: int
    n_answered: int
    n_lost: int
    n_gained: int
    n_patients: int
    spread: float | None
    median: Bounded | None
    most: Bounded | None
    shift: Bounded | None
    calls_changed: Share | None
    n_cells: int
    n_same: int
    n_others: int


@dataclass(frozen=True, kw_only=True)
class Blind:
    """How scores of all cases moved.

    bundle, types: what scored and what named, each by name, version, hash and precision.
    cases: which ones, for people.
    moves: by model.
    left_out: of cases that could not be scored at all, why.
    """

    bundle: str
    types: str
    cases: str
    moves: tuple[Moves, ...]
    answers: tuple[BothAnswers, ...]
    left_out: tuple[str, ...]


def scored_blind(
    rows: Sequence[CohortCase], cases: str, reading: ReadOptions, sessions: Sessions, talk: Talk
) -> Blind:
    """Score every case of a cohort both ways; only cells with a class take part.

    A case that cannot be read, or in which nobody has named a cell, is left out and told.

    Args:
        cases: which ones they are, for people.

    Raises:
        UsageError: there is no model that names cells, or none to score with.
        InputError: no case can be scored.
    """
    typers = _typers_of(sessions)
    answers: list[BothAnswers] = []
    left_out: list[str] = []
    for done, row in enumerate(rows):
        talk.progress("cases", done, len(rows))
        try:
            with closing(read_row(row, replace(reading, unnamed=False))) as case:
                answers += _both(row, case, sessions)
        except InputError as error:
            left_out.append(str(error))
            talk.say(f"warning: left out: {error}")
    talk.progress("cases", len(rows), len(rows))
    if not answers:
        raise InputError(f"none of the {len(rows)} cases can be scored; the first: {left_out[0]}")
    models = sessions.bundle.manifest.models
    return Blind(
        bundle=_id(sessions),
        types=_id(typers),
        cases=cases,
        moves=tuple(moves_of(name, [a for a in answers if a.model == name]) for name in models),
        answers=tuple(answers),
        left_out=tuple(left_out),
    )


def _typers_of(sessions: Sessions) -> Sessions:
    """The engines of the models that name cells, where there are others that score."""
    if sessions.typers is None:
        raise UsageError(
            f"{sessions.bundle.path} holds no model that names cells; give another bundle that "
            "does with --types-from"
        )
    sessions.bundle.check_scores_patients("train blind")
    return sessions.typers


def without_names(case: Case) -> Case:
    """The same case as if nobody had named any of its cells."""
    nameless = (Cell(path=cell.path, cell_class=UNNAMED, named_by="nobody") for cell in case.cells)
    return replace(case, cells=tuple(nameless))


def moves_of(model: str, answers: Sequence[BothAnswers]) -> Moves:
    """The figures of one model over its cases."""
    both = [one for one in answers if one.shift is not None]
    signed = [one.signed.score is not None for one in answers]
    blind = [one.blind.score is not None for one in answers]
    lost = [was and not still for was, still in zip(signed, blind, strict=True)]
    gained = [still and not was for was, still in zip(signed, blind, strict=True)]
    patients = list(dict.fromkeys(one.patient for one in both))
    of_patients = [[one for one in both if one.patient == patient] for patient in patients]
    scores = [np.array([one.signed.score for one in own], float).mean() for own in of_patients]
    median, most, shift = _figures(of_patients) if both else (None, None, None)
    changed = [any(one.signed.call != one.blind.call for one in own) for own in of_patients]
    return Moves(
        model=model,
        n_cases=len(answers),
        n_answered=len(both),
        n_lost=sum(lost),
        n_gained=sum(gained),
        n_patients=len(patients),
        spread=float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
        median=median,
        most=most,
        shift=shift,
        calls_changed=share_of(np.array(changed)) if both else None,
        n_cells=sum(one.signed.n_cells for one in answers),
        n_same=sum(one.n_same for one in answers),
        n_others=sum(one.blind.n_cells - one.n_same for one in answers),
    )


def _both(row: CohortCase, case: Case, sessions: Sessions) -> Iterator[BothAnswers]:
    bundle, known = sessions.bundle, _known(row, sessions)
    signed = score_case(case, bundle, sessions, covariates=known)
    blind = score_case(without_names(case), bundle, sessions, covariates=known)
    for one, other in zip(signed.models, blind.models, strict=True):
        yield BothAnswers(
            patient=row.patient,
            sample=row.sample,
            model=one.model,
            signed=_answer(one),
            blind=_answer(other),
            n_same=len(_used(one) & _used(other)),
        )


def _known(row: CohortCase, sessions: Sessions) -> dict[str, str]:
    """The covariates in the cohort's row that some model takes."""
    models = sessions.bundle.manifest.models.values()
    taken = {covariate.name for model in models for covariate in model.covariates}
    return {name: value for name, value in row.covariates.items() if name in taken and value}


def _answer(model: ModelScore) -> Answer:
    return Answer(score=model.score, call=model.call, n_cells=model.n_cells, reasons=model.reasons)


def _used(model: ModelScore) -> set[str]:
    return {cell.identity for cell in model.cells if cell.status == "used"}


def _figures(of_patients: Sequence[Sequence[BothAnswers]]) -> tuple[Bounded, Bounded, Bounded]:
    """The median distance of patients, what nine tenths are within, and the median shift."""
    shifts = [[one.shift for one in own if one.shift is not None] for own in of_patients]
    shift = np.array([np.mean(own) for own in shifts])
    moved = np.array([np.mean(np.abs(own)) for own in shifts])
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(moved), (_RESAMPLES, len(moved)))

    def most(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.quantile(values, _MOST, axis=-1, method="inverted_cdf"))

    return (
        bounded(float(np.median(moved)), np.median(moved[drawn], axis=1)),
        bounded(float(most(moved)), most(moved[drawn])),
        bounded(float(np.median(shift)), np.median(shift[drawn], axis=1)),
    )


def _id(sessions: Sessions) -> str:
    manifest = sessions.bundle.manifest
    return (
        f"{manifest.name} {manifest.version}, {sessions.graph.precision}, SHA-256 "
        f"{sessions.bundle.sha256}"
    )
