"""Scores each case twice: as it was signed, and with all names hidden.

Without names, the model that names cells decides which of them each score stands on. Nothing else
differs, so how far a score moves is what naming does to it.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from training.judging.comparison import Bounded, bounded
from training.judging.intervals import Share, share_of
from training.talk import Talk
from vexas_edge.errors import UsageError
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
    def moved(self) -> float | None:
        """How far the score is from that as signed; None unless both ways gave one."""
        if self.signed.score is None or self.blind.score is None:
            return None
        return abs(self.blind.score - self.signed.score)


@dataclass(frozen=True, kw_only=True)
class Moves:
    """How far one model's scores moved.

    n_cases: all. n_answered: those with a score both ways, which the figures below are of.
    spread: the standard deviation of their scores as signed; None for fewer than two.
    n_lost, n_gained: those with a score only as signed, or only without names.
    median, most: of the distances, and the distance that nine tenths are within; intervals are from
    resampling patients. None where no case has a score both ways.
    calls_changed: of the cases with a score both ways.
    n_cells, n_same: cells that it used as signed, and how many of them without names, too.
    n_others: cells that it used without names alone.
    """

    model: str
    n_cases: int
    n_answered: int
    n_lost: int
    n_gained: int
    spread: float | None
    median: Bounded | None
    most: Bounded | None
    calls_changed: Share | None
    n_cells: int
    n_same: int
    n_others: int


@dataclass(frozen=True, kw_only=True)
class Blind:
    """How scores of all cases moved.

    bundle, types: what scored and what named, each by name, version and hash.
    """

    bundle: str
    types: str
    moves: tuple[Moves, ...]
    answers: tuple[BothAnswers, ...]


def scored_blind(
    rows: Sequence[CohortCase], reading: ReadOptions, sessions: Sessions, talk: Talk
) -> Blind:
    """Score every case of a cohort both ways; only cells with a class take part.

    Raises:
        UsageError: there is no model that names cells, or none to score with.
        InputError: a case cannot be read, or nobody has named any of its cells.
    """
    if sessions.typers is None:
        raise UsageError(
            f"{sessions.bundle.path} holds no model that names cells; give another bundle that "
            "does with --types-from"
        )
    if not sessions.bundle.manifest.models:
        raise UsageError(f"{sessions.bundle.path} holds no model that scores patients")
    answers: list[BothAnswers] = []
    for done, row in enumerate(rows):
        talk.progress("cases", done, len(rows))
        with closing(read_row(row, replace(reading, unnamed=False))) as case:
            answers += _both(row, case, sessions)
    talk.progress("cases", len(rows), len(rows))
    models = sessions.bundle.manifest.models
    return Blind(
        bundle=_id(sessions),
        types=_id(sessions.typers),
        moves=tuple(moves_of(name, [a for a in answers if a.model == name]) for name in models),
        answers=tuple(answers),
    )


def without_names(case: Case) -> Case:
    """The same case as if nobody had named any of its cells."""
    nameless = (Cell(path=cell.path, cell_class=UNNAMED, named_by="nobody") for cell in case.cells)
    return replace(case, cells=tuple(nameless))


def moves_of(model: str, answers: Sequence[BothAnswers]) -> Moves:
    """The figures of one model over its cases."""
    both = [one for one in answers if one.moved is not None]
    signed = [one.signed.score is not None for one in answers]
    blind = [one.blind.score is not None for one in answers]
    lost = [was and not still for was, still in zip(signed, blind, strict=True)]
    gained = [still and not was for was, still in zip(signed, blind, strict=True)]
    scores = [one.signed.score for one in both if one.signed.score is not None]
    median, most = _distances(both) if both else (None, None)
    changed = np.array([one.signed.call != one.blind.call for one in both], bool)
    return Moves(
        model=model,
        n_cases=len(answers),
        n_answered=len(both),
        n_lost=sum(lost),
        n_gained=sum(gained),
        spread=float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
        median=median,
        most=most,
        calls_changed=share_of(changed) if both else None,
        n_cells=sum(one.signed.n_cells for one in answers),
        n_same=sum(one.n_same for one in answers),
        n_others=sum(one.blind.n_cells - one.n_same for one in answers),
    )


def _both(row: CohortCase, case: Case, sessions: Sessions) -> Iterator[BothAnswers]:
    signed = score_case(case, sessions.bundle, sessions, covariates=_known(row, sessions))
    blind = score_case(
        without_names(case), sessions.bundle, sessions, covariates=_known(row, sessions)
    )
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


def _distances(both: Sequence[BothAnswers]) -> tuple[Bounded, Bounded]:
    """The median of how far scores moved and what nine tenths are within."""
    moved = np.array([one.moved for one in both], float)
    patients, owner = np.unique([one.patient for one in both], return_inverse=True)
    of_patient = [np.flatnonzero(owner == place) for place in range(len(patients))]
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(patients), (_RESAMPLES, len(patients)))
    resampled = np.array(
        [
            np.quantile(moved[np.concatenate([of_patient[p] for p in some])], (0.5, _MOST))
            for some in drawn
        ]
    )
    median, most = np.quantile(moved, (0.5, _MOST))
    return bounded(float(median), resampled[:, 0]), bounded(float(most), resampled[:, 1])


def _id(sessions: Sessions) -> str:
    manifest = sessions.bundle.manifest
    return f"{manifest.name} {manifest.version}, SHA-256 {sessions.bundle.sha256}"
