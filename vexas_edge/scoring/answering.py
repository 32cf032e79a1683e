"""From a model's examined cells to its result: the exact head's score, or why there is none."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from vexas_edge.bundle.models import Medians
from vexas_edge.covariates.taken import TakenCovariates
from vexas_edge.domain.reference import Reference
from vexas_edge.results.values import ModelScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.abstention import Reason, reasons_to_abstain
from vexas_edge.scoring.encoded import Encoded, Examined
from vexas_edge.scoring.heads.bags import scored_as_bag
from vexas_edge.scoring.heads.checking import check_call
from vexas_edge.scoring.heads.medians import scored_by_medians

# With fewer training patients, a histogram would tell of single ones; and how many bins it has.
LEAST_SHOWN, _BINS = 30, 20
MOST_TYPICAL = 6
# Of a model's cells, so many may have been named by a model where nobody has judged its scores on
# such cells; with more, the result says so.
_MOST_TYPED = 0.1
_BLOCK = 1024  # cells that are computed on at a time


def answered(examined: Examined, sessions: Sessions) -> ModelScore:
    """The model's score, or why it gives none."""
    counted, encoded = _counted(examined, sessions), examined.encoded
    if encoded is None or examined.reasons:
        return _abstaining(counted, examined.reasons)
    return _score_encodings(counted, encoded, examined.covariates, sessions)


def answered_past_the_gate(examined: Examined, sessions: Sessions) -> ModelScore:
    """The model's score, or why it has too few cells for one."""
    least = sessions.bundle.manifest.models[examined.name].minimum_cells
    return answered(replace(examined, reasons=reasons_to_abstain(examined.counts, least)), sessions)


def _counted(examined: Examined, sessions: Sessions) -> ModelScore:
    """The result without an answer."""
    model, counts = sessions.bundle.manifest.models[examined.name], examined.counts
    records = examined.encoded.records if examined.encoded else ()
    n_typed = sum(cell.named_by == "model" and cell.status == "used" for cell in records)
    return ModelScore(
        model=examined.name,
        status="abstained",
        threshold=model.threshold,
        n_cells=counts.used,
        n_typed=n_typed,
        typing_unjudged=n_typed > _MOST_TYPED * counts.used and not model.judged_typed,
        n_unreadable=counts.unreadable,
        n_rejected=counts.rejected,
        minimum_cells=model.minimum_cells,
        typical=_typical(examined.encoded) if examined.encoded else (),
        domain=examined.finding,
        missing=examined.missing,
        strangeness=examined.strangeness,
        covariates=examined.covariates.used,
        cells=records,
    )


def _abstaining(score: ModelScore, reasons: Sequence[Reason]) -> ModelScore:
    return replace(
        score,
        reasons=tuple(reason.code for reason in reasons),
        explanations=tuple(reason.text for reason in reasons),
    )


def _score_encodings(
    counted: ModelScore, encoded: Encoded, covariates: TakenCovariates, sessions: Sessions
) -> ModelScore:
    manifest = sessions.bundle.manifest
    model, run = manifest.models[counted.model], partial(sessions.classify, counted.model)
    check_call(counted.model, encoded.checked, run)
    column = model.classes.index(manifest.positive)
    if isinstance(model.aggregation, Medians):
        found = scored_by_medians(counted, encoded, model, column, run)
    else:
        taken = covariates.standardised
        found = scored_as_bag(counted, encoded, taken, model, column, run)
    score, low, high = found.score, found.interval_low, found.interval_high
    assert score is not None and low is not None and high is not None  # noqa: PT018 - both gave them
    return replace(
        found,
        status="scored",
        call=score >= model.threshold,
        call_uncertain=low <= model.threshold <= high,
        training_scores=_training_scores(sessions.reference(counted.model)),
    )


def _training_scores(reference: Reference | None) -> tuple[int, ...]:
    """How many training patients have a score in each bin; empty if there are few."""
    if reference is None or len(reference.clean_scores) < LEAST_SHOWN:
        return ()
    counts, _ = np.histogram(reference.clean_scores, bins=_BINS, range=(0, 1))
    return tuple(counts.tolist())


def _typical(encoded: Encoded) -> tuple[str, ...]:
    """The identities of the cells nearest to the mean encoding, the nearest first.

    They are taken in the order of identities, and some at a time, which bounds memory.
    """
    identities, order = encoded.identities, encoded.by_identity
    if not order:
        return ()
    blocks = [order[start : start + _BLOCK] for start in range(0, len(order), _BLOCK)]
    mean = sum(encoded.encodings[b].sum(axis=0, dtype=np.float64) for b in blocks) / len(order)
    found: list[tuple[float, bytes]] = []
    for block in blocks:
        away = encoded.encodings[block].astype(np.float64) - mean
        squares = (away**2).sum(axis=1).tolist()
        found += zip(squares, (identities[place] for place in block), strict=True)
        found = sorted(found)[:MOST_TYPICAL]
    return tuple(identity.hex() for _, identity in found)
