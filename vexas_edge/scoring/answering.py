"""From a model's examined cells to its result: the exact head's score, or why there is none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.contract import DECISIONS, PROBABILITIES
from vexas_edge.domain.reference import Reference
from vexas_edge.errors import HostError
from vexas_edge.results.values import ModelScore
from vexas_edge.runtime.selftest import CROSS_CHECK
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.abstention import Reason, reasons_to_abstain
from vexas_edge.scoring.draws import draws_of
from vexas_edge.scoring.encoded import Encoded, Examined
from vexas_edge.scoring.figures.interval import prediction_interval
from vexas_edge.scoring.figures.labels import label_indices
from vexas_edge.scoring.figures.pulls import pulls_of

# With fewer training patients, a histogram would tell of single ones; and how many bins it has.
LEAST_SHOWN, _BINS = 30, 20
MOST_TYPICAL = 6
_BLOCK = 1024  # cells that are computed on at a time


def answered(examined: Examined, sessions: Sessions) -> ModelScore:
    """The model's score, or why it gives none."""
    counted, encoded = _counted(examined, sessions), examined.encoded
    if encoded is None or examined.reasons:
        return _abstaining(counted, examined.reasons)
    return _score_encodings(counted, encoded, sessions)


def answered_past_the_gate(examined: Examined, sessions: Sessions) -> ModelScore:
    """The model's score, or why it has too few cells for one."""
    least = sessions.bundle.manifest.models[examined.name].minimum_cells
    return answered(replace(examined, reasons=reasons_to_abstain(examined.counts, least)), sessions)


def _counted(examined: Examined, sessions: Sessions) -> ModelScore:
    """The result without an answer."""
    model, counts = sessions.bundle.manifest.models[examined.name], examined.counts
    return ModelScore(
        model=examined.name,
        status="abstained",
        threshold=model.threshold,
        n_cells=counts.used,
        n_unreadable=counts.unreadable,
        n_rejected=counts.rejected,
        minimum_cells=model.minimum_cells,
        typical=_typical(examined.encoded) if examined.encoded else (),
        domain=examined.finding,
        cells=examined.encoded.records if examined.encoded else (),
    )


def _abstaining(score: ModelScore, reasons: Sequence[Reason]) -> ModelScore:
    return replace(
        score,
        reasons=tuple(reason.code for reason in reasons),
        explanations=tuple(reason.text for reason in reasons),
    )


def _score_encodings(counted: ModelScore, encoded: Encoded, sessions: Sessions) -> ModelScore:
    manifest = sessions.bundle.manifest
    model = manifest.models[counted.model]
    _cross_check(counted.model, encoded, sessions)
    draws, column = draws_of(encoded.identities, model), manifest.classes.index(manifest.positive)

    def classify(other: NDArray[np.int64]) -> NDArray[np.float64]:
        found = sessions.classify(counted.model, encoded.encodings, other)[PROBABILITIES]
        return found[:, column].astype(np.float64)

    outputs = sessions.classify(counted.model, encoded.encodings, draws)
    probabilities = outputs[PROBABILITIES].astype(np.float64)
    labels = label_indices(outputs[DECISIONS], probabilities, manifest.label_rule)
    positive = probabilities[:, column]
    score = float(positive.mean())
    low, high = prediction_interval(positive, draws, len(encoded.identities))
    draws_low, draws_high = np.percentile(positive, [2.5, 97.5])
    return replace(
        counted,
        status="scored",
        n_draws=len(probabilities),
        score=score,
        interval_low=low,
        interval_high=high,
        call=score >= model.threshold,
        call_uncertain=low <= model.threshold <= high,
        standard_error=_standard_error(positive),
        draws_low=float(draws_low),
        draws_high=float(draws_high),
        share_over_threshold=float((positive >= model.threshold).mean()),
        probabilities=dict(zip(manifest.classes, probabilities.mean(axis=0).tolist(), strict=True)),
        label_shares={
            label: float((labels == index).mean()) for index, label in enumerate(manifest.classes)
        },
        pulls=pulls_of(positive, draws, encoded.identities, model.aggregation.seed, classify),
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


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _cross_check(name: str, encoded: Encoded, sessions: Sessions) -> None:
    """Check that the fused graph and the head agree on the probabilities of one call's cells.

    The means over draws are compared, because single draws may jump by 5e-3 at libsvm's stopping
    threshold.
    """
    call = encoded.checked
    if call is None:
        return
    outputs = sessions.classify(name, call.encodings, call.draws)
    expected = outputs[PROBABILITIES].mean(axis=0, dtype=np.float64)
    found = call.probabilities.mean(axis=0, dtype=np.float64)
    difference = float(np.abs(found - expected).max())
    if not difference <= CROSS_CHECK:
        raise HostError(
            f"model {name}: the fused graph's score differs from the head's by {difference:.1e} "
            f"(allowed {CROSS_CHECK:.0e}); this engine cannot be trusted on this PC"
        )
