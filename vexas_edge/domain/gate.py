"""The gate: whether a model may answer for a case, and if not, what a technician can look at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.domain.faults import SEEN
from vexas_edge.domain.measures import (
    encoding_measures,
    family_features,
    harm_features,
    outside_ranges,
    sameness,
)
from vexas_edge.domain.reference import GATES, Reference
from vexas_edge.quality.statistics import CASE_STATISTICS, FAMILIES
from vexas_edge.results.grounds import DomainFinding, Statistic

# A family of changes is named if the trees give it at least the first probability; where the cells
# look foreign as well, the second, since foreign cells move the images' statistics, too.
_CONFIDENT, _CERTAIN = 0.5, 0.65
_NAMED = 3

WORDS = {family: f"{seen}: check {remedy}" for family, (seen, remedy) in SEEN.items()}
UNLIKE = "unlike the training images"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the gate says of one case and model.

    abstains: whether the model must not answer.
    finding: the figures behind that.
    words: one line for a technician; empty if the model answers.
    """

    abstains: bool
    finding: DomainFinding
    words: str


def judge(
    reference: Reference,
    statistics: NDArray[np.float64],
    encodings: NDArray[np.float32],
    centre: NDArray[np.float64] | None = None,
) -> Judgement:
    """Hold a case against its model's training patients.

    Args:
        statistics: of the case's raw images, float64 (S,), as `case_statistics` gives them.
        encodings: of its distinct cells, float32 (N, D), in the order of their identities.
        centre: where the cases of a site lie instead of around the training cases' mean, float64
            (D,): what is foreign is measured from there, and nothing else; None means that mean. It
            never decides what an abstention that both would have is called.

    Raises:
        ValueError: there are fewer than two cells, or another number of statistics.
    """
    if len(encodings) < 2 or statistics.shape != reference.centre.shape:
        found = f"{len(encodings)} cells and {statistics.shape} statistics"
        raise ValueError(f"{found}; expected at least 2 cells and {reference.centre.shape}")
    n_cells, measures = len(encodings), _measures(reference, encodings, reference.mean)
    values = gate_values(reference, statistics, measures)
    from_training = above = heights(reference, values, n_cells)
    if centre is not None:
        values |= _foreign(reference, _measures(reference, encodings, centre))
        above = heights(reference, values, n_cells)
    limit = float(np.interp(n_cells, reference.sizes, reference.limit))
    worst = max(above.values())
    abstains = worst > limit
    family = _family(reference, statistics, measures, from_training, limit) if abstains else None
    finding = DomainFinding(
        margin=worst - limit,
        gates=above,
        family=family,
        farthest=farthest_statistics(reference, statistics),
        statistics=_in_ranges(reference, statistics),
    )
    return Judgement(abstains=abstains, finding=finding, words=_words(finding) if abstains else "")


def gate_values(
    reference: Reference, statistics: NDArray[np.float64], measures: NDArray[np.float64]
) -> dict[str, float]:
    """The value of each gate that the reference has; a higher one is worse."""
    values = {
        "duplicates": -float(measures[3]),
        "same statistics": sameness(statistics, reference.centre),
    }
    if reference.harm is None:
        ranges = (reference.low, reference.high, reference.spread)
        return values | {"ranges": outside_ranges(statistics, *ranges)}
    shift = reference.harm.answer(harm_features(statistics, measures))
    return values | {"harm": float(shift[0])} | _foreign(reference, measures)


def _foreign(reference: Reference, measures: NDArray[np.float64]) -> dict[str, float]:
    """The values of those gates that a site's own centre may move; none without patients enough."""
    if reference.harm is None:
        return {}
    return {"foreign case": float(measures[0]), "foreign cells": float(measures[2])}


def _measures(
    reference: Reference, encodings: NDArray[np.float32], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    return encoding_measures(encodings, mean, reference.axes, reference.between)


def heights(reference: Reference, values: dict[str, float], n_cells: int) -> dict[str, float]:
    """How far each gate lies above its clean value for this many cells, in its unit."""
    above = {}
    for name, value in values.items():
        row = GATES.index(name)
        centre = np.interp(n_cells, reference.sizes, reference.gate_centre[row])
        scale = np.interp(n_cells, reference.sizes, reference.gate_scale[row])
        above[name] = float((value - centre) / scale)
    return above


def farthest_statistics(reference: Reference, statistics: NDArray[np.float64]) -> tuple[str, ...]:
    """The three statistics farthest from the middle of the training cases, in their spreads."""
    distance = np.abs(statistics - reference.centre) / reference.spread
    order = np.argsort(-distance, kind="stable")[:_NAMED]
    return tuple(CASE_STATISTICS[k] for k in order)


def _in_ranges(reference: Reference, statistics: NDArray[np.float64]) -> dict[str, Statistic]:
    rows = zip(statistics.tolist(), reference.low.tolist(), reference.high.tolist(), strict=True)
    found = (Statistic(value=value, low=low, high=high) for value, low, high in rows)
    return dict(zip(CASE_STATISTICS, found, strict=True))


def _family(
    reference: Reference,
    statistics: NDArray[np.float64],
    measures: NDArray[np.float64],
    above: dict[str, float],
    limit: float,
) -> str | None:
    """What moved: cells too much alike, a family that the trees are sure of, or foreign cells.

    Args:
        above: the heights as the training cases' own mean gives them, wherever a site lies, so that
            a site's centre renames nothing. Where none of them is over the limit, the cells are
            foreign to the site alone.
    """
    if max(above.values()) <= limit:
        return "foreign cells"
    if max(above["duplicates"], above["same statistics"]) > limit:
        return "duplicates"
    if reference.families is None:
        return None
    foreign = max(above["foreign case"], above["foreign cells"]) > limit
    shares = reference.families.answer(family_features(statistics, measures))
    most = int(np.argmax(shares))
    if shares[most] >= (_CERTAIN if foreign else _CONFIDENT):
        return reference.family_names[most]
    return "foreign cells" if foreign else None


def _words(finding: DomainFinding) -> str:
    if finding.family is not None:
        return WORDS[finding.family]
    far = [(name, finding.statistics[name]) for name in finding.farthest]
    found = ", ".join(f"{name} {s.value:.4g} ({s.low:.4g} to {s.high:.4g})" for name, s in far)
    families = dict.fromkeys(FAMILIES[CASE_STATISTICS.index(name)] for name, _ in far)
    remedies = "; ".join(SEEN[family][1] for family in families)
    return f"{UNLIKE}, most of all in {found}: check {remedies}"
