"""The figures that say whether a cheaper graph is still the same model, and its budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from calibration.cosines import cosines
from calibration.fp16 import LARGEST_ACTIVATION
from calibration.gate.judgement import REFERENCE, Judgement
from calibration.gate.separation import roc_auc
from vexas_edge.bundle.budgets import Budget
from vexas_edge.errors import BundleError


class GateError(BundleError):
    """A cheaper graph did not pass the gate, so it was not added."""


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A smear whose call changes, with the scores of both graphs."""

    sample: str
    score_reference: float
    score: float


@dataclass(frozen=True, kw_only=True)
class GateFlip:
    """A smear for which one of both graphs abstains, with the margins of both; over 0 abstains."""

    sample: str
    margin_reference: float
    margin: float


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """How far a graph is from the reference, on smears that calibration never saw.

    threshold: of the model's scores.
    n_positive, n_other: patients.
    abstained: names of the smears with too few cells.
    cosine_p1, cosine_min: cosine of both graphs' encodings of a cell, at the 1st percentile of all
        cells, and the least.
    score_drift, score_drift_max: distance of both scores, mean and largest over smears.
    decision_drift: distance of both decision values, mean over smears and draws.
    auc, auc_reference: ROC-AUC over patients.
    flips: smears whose call changes.
    gate_flips: smears that the domain gate answers otherwise, by the reference's encodings and by
        the graph's; always none without a reference.
    largest_activation: for fp16 only, whose emulation measures it.
    calibration_distance: for integers only, how far calibration's cells are from these, defined as
        in the budget.
    """

    threshold: float
    n_positive: int
    n_other: int
    n_smears: int
    n_cells: int
    abstained: tuple[str, ...]
    cosine_p1: float
    cosine_min: float
    score_drift: float
    score_drift_max: float
    decision_drift: float
    auc: float
    auc_reference: float
    flips: tuple[Flip, ...]
    gate_flips: tuple[GateFlip, ...] = ()
    largest_activation: float | None = None
    calibration_distance: float | None = None


def gate_result(
    judgement: Judgement,
    kind: str,
    threshold: float,
    calibration_encodings: np.ndarray | None = None,
) -> GateResult:
    """The figures of one kind of graph.

    Args:
        calibration_encodings: the reference's encodings of further cells of calibration's patients,
            float32 (n, D).
    """
    smears = judgement.smears
    pairs = [(smear.by_kind[REFERENCE], smear.by_kind[kind]) for smear in smears]
    alike = np.concatenate([cosines(ours.encodings, theirs.encodings) for ours, theirs in pairs])
    drifts = np.array([abs(theirs.score - ours.score) for ours, theirs in pairs])
    decisions = [np.abs(theirs.decisions - ours.decisions).mean() for ours, theirs in pairs]
    scores, positive = patient_scores(judgement, kind)
    references = np.concatenate([ours.encodings for ours, _ in pairs])
    return GateResult(
        threshold=threshold,
        n_positive=int(positive.sum()),
        n_other=int((~positive).sum()),
        n_smears=len(smears),
        n_cells=len(alike),
        abstained=judgement.abstained,
        cosine_p1=float(np.percentile(alike, 1)),
        cosine_min=float(alike.min()),
        score_drift=float(drifts.mean()),
        score_drift_max=float(drifts.max()),
        decision_drift=float(np.mean(decisions)),
        auc=roc_auc(scores, positive),
        auc_reference=roc_auc(*patient_scores(judgement, REFERENCE)),
        flips=_flips(judgement, kind, threshold),
        gate_flips=_gate_flips(judgement, kind),
        largest_activation=_largest([theirs.largest_activation for _, theirs in pairs]),
        calibration_distance=None
        if calibration_encodings is None
        else distance_of(calibration_encodings, references),
    )


def _flips(judgement: Judgement, kind: str, threshold: float) -> tuple[Flip, ...]:
    """The smears whose call changes."""
    pairs = [
        (smear.sample, smear.by_kind[REFERENCE], smear.by_kind[kind]) for smear in judgement.smears
    ]
    return tuple(
        Flip(sample=sample, score_reference=ours.score, score=theirs.score)
        for sample, ours, theirs in pairs
        if (ours.score >= threshold) != (theirs.score >= threshold)
    )


def _gate_flips(judgement: Judgement, kind: str) -> tuple[GateFlip, ...]:
    """The smears that the domain gate answers otherwise."""
    margins = [
        (smear.sample, smear.by_kind[REFERENCE].margin, smear.by_kind[kind].margin)
        for smear in judgement.smears
    ]
    return tuple(
        GateFlip(sample=sample, margin_reference=ours, margin=theirs)
        for sample, ours, theirs in margins
        if ours is not None and theirs is not None and (ours > 0) != (theirs > 0)
    )


def patient_scores(judgement: Judgement, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Each patient's score, the mean over its smears, float (n,), and whether it is positive."""
    scores: dict[str, list[float]] = {}
    positive: dict[str, bool] = {}
    for smear in judgement.smears:
        scores.setdefault(smear.patient, []).append(smear.by_kind[kind].score)
        positive[smear.patient] = smear.positive
    return np.array([np.mean(s) for s in scores.values()]), np.array(list(positive.values()))


def failures(result: GateResult, budget: Budget) -> list[str]:
    """A sentence per figure over its budget; none if the graph passed."""
    fewest = min(result.n_positive, result.n_other)
    drop = result.auc_reference - result.auc
    fall = f"ROC-AUC falls by {drop:.4f}, from {result.auc_reference:.4f} to {result.auc:.4f}"
    return [
        *unless(
            fewest >= budget.patients_per_class,
            f"only {fewest} patients of one class (at least {budget.patients_per_class})",
        ),
        *unlike_cosine(result.cosine_p1, budget),
        *unless(
            result.score_drift <= budget.score_drift,
            f"mean score drift {result.score_drift:.4f} (at most {budget.score_drift})",
        ),
        *unless(drop <= budget.auc_drop, f"{fall} (at most {budget.auc_drop})"),
        *_flip_failures(result, budget),
        *unlike_calibration(result.largest_activation, result.calibration_distance, budget),
    ]


def unless(passed: bool, text: str) -> list[str]:
    """The text, unless the figure passed; one that is NaN fails every comparison, and so this."""
    return [] if passed else [text]


def unlike_cosine(cosine_p1: float, budget: Budget) -> list[str]:
    """Whether encodings lie too far from the reference's, in a sentence."""
    return unless(
        cosine_p1 >= budget.cosine_p1,
        f"1st-percentile cosine of encodings {cosine_p1:.5f} (at least {budget.cosine_p1})",
    )


def unlike_calibration(
    largest_activation: float | None, distance: float | None, budget: Budget
) -> list[str]:
    """Whether activations are too large for float16, or cells too unlike calibration's."""
    found = []
    if largest_activation is not None:
        found += unless(
            largest_activation <= LARGEST_ACTIVATION,
            f"largest activation {largest_activation:.6g} (at most {LARGEST_ACTIVATION:g}: "
            "float16 ends at 65504)",
        )
    if distance is not None:
        found += unless(
            distance <= budget.calibration_distance,
            "calibration's cells look unlike the gate's: distance "
            f"{distance:.3f} (at most {budget.calibration_distance}); are "
            "colours, crop and scanner the same?",
        )
    return found


def _flip_failures(result: GateResult, budget: Budget) -> list[str]:
    calls = [(f.sample, f.score_reference, f.score) for f in result.flips]
    answers = [(f.sample, f.margin_reference, f.margin) for f in result.gate_flips]
    most = int(budget.flipped_share * result.n_smears)
    found = []
    for flips, what, limit, margin in (
        (calls, "calls flip", result.threshold, budget.flip_margin),
        (answers, "smears are answered or not, unlike with float32", 0.0, budget.gate_margin),
    ):
        if len(flips) > most:
            counted = f"{len(flips)} of {result.n_smears} {what} (at most {most})"
            found.append(f"{counted}: {_named(flips)}")
        if far := [flip for flip in flips if abs(flip[1] - limit) > margin]:
            found.append(
                f"{what}, far from the limit {limit:g} (at most {margin} from it): {_named(far)}"
            )
    return found


def _named(flips: Sequence[tuple[str, float, float]]) -> str:
    return ", ".join(f"{sample} {ours:.3f} to {theirs:.3f}" for sample, ours, theirs in flips[:5])


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    # np.max, since Python's max may ignore NaN.
    return float(np.max(known)) if len(known) == len(values) else None


def distance_of(some: np.ndarray, others: np.ndarray) -> float:
    """Squared distance of both means, over the mean squared distance of `others` from theirs."""
    centre = others.mean(axis=0)
    spread = ((others - centre) ** 2).sum(axis=1).mean()
    return float(((some.mean(axis=0) - centre) ** 2).sum() / max(spread, 1e-12))


def manifest_figures(result: Any) -> Any:
    """The figures as the manifest holds them, rounded to six decimals."""
    return _rounded(msgspec.to_builtins(result))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value
