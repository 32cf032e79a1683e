"""The gate: whether a model may answer for a case, and if not, what a technician can look at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.domain.measures import (
    encoding_measures,
    family_features,
    harm_features,
    outside_ranges,
    sameness,
)
from vexas_edge.domain.reference import GATES, Reference
from vexas_edge.quality.statistics import CASE_STATISTICS

# A family of changes is named if the trees give it at least the first probability; where the cells
# look foreign as well, the second, since foreign cells move the images' statistics, too.
_CONFIDENT, _CERTAIN = 0.5, 0.65
_NAMED = 3

# What a technician can act on, by what moved.
WORDS = {
    "focus": "the images are less, or more, sharp than the training images: check the focus",
    "exposure": "light or noise differs from the training images: check lamp, exposure and camera",
    "colour": "colours differ from the training images: check white balance and colour settings",
    "stain": "the stain differs from the training images: check the staining batch",
    "file format": "the images were saved otherwise than the training images: check the export's "
    "format and quality",
    "size": "cells appear at another size than in the training images: check the magnification "
    "and the export's size",
    "foreign cells": "these are not the cells that the model was trained on: check their classes",
    "duplicates": "the cells are too much alike to be different cells: check for repeated images",
}
UNNAMED = "unlike the training images"


@dataclass(frozen=True, kw_only=True)
class FarStatistic:
    """A statistic that lies far from training, and its range there."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the gate says of one case and model.

    abstains: whether the model must not answer.
    margin: how far the worst gate lies over the limit, in its unit; at most 0 if it answers.
    gates: how far each gate lies above its usual value, in its unit, by name.
    family: what moved, if that is known.
    farthest: the three statistics that lie farthest from training, the farthest first.
    words: one line for a technician; empty if the model answers.
    """

    abstains: bool
    margin: float
    gates: dict[str, float]
    family: str | None
    farthest: tuple[FarStatistic, ...]
    words: str


def judge(
    reference: Reference, statistics: NDArray[np.float64], encodings: NDArray[np.float32]
) -> Judgement:
    """Hold a case against its model's training patients.

    Args:
        statistics: of the case's raw images, float64 (S,), as `case_statistics` gives them.
        encodings: of its distinct cells, float32 (N, D), in the order of their identities.

    Raises:
        ValueError: there are fewer than two cells, or another number of statistics.
    """
    if len(encodings) < 2 or statistics.shape != reference.centre.shape:
        raise ValueError(
            f"{len(encodings)} cells and {statistics.shape} statistics; expected at least 2 cells "
            f"and {reference.centre.shape}"
        )
    measures = encoding_measures(encodings, reference.mean, reference.axes, reference.between)
    values = gate_values(reference, statistics, measures)
    above = heights(reference, values, len(encodings))
    limit = float(np.interp(len(encodings), reference.sizes, reference.limit))
    worst = max(above.values())
    abstains = worst > limit
    family = _family(reference, statistics, measures, above, limit) if abstains else None
    farthest = farthest_statistics(reference, statistics)
    return Judgement(
        abstains=abstains,
        margin=worst - limit,
        gates=above,
        family=family,
        farthest=farthest,
        words=_words(family, farthest) if abstains else "",
    )


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
    return values | {
        "harm": float(shift[0]),
        "foreign case": float(measures[0]),
        "foreign cells": float(measures[2]),
    }


def heights(reference: Reference, values: dict[str, float], n_cells: int) -> dict[str, float]:
    """How far each gate lies above its clean value for this many cells, in its unit."""
    above = {}
    for name, value in values.items():
        row = GATES.index(name)
        centre = np.interp(n_cells, reference.sizes, reference.gate_centre[row])
        scale = np.interp(n_cells, reference.sizes, reference.gate_scale[row])
        above[name] = float((value - centre) / scale)
    return above


def farthest_statistics(
    reference: Reference, statistics: NDArray[np.float64]
) -> tuple[FarStatistic, ...]:
    """The three statistics farthest from the middle of the training cases, in their spreads."""
    distance = np.abs(statistics - reference.centre) / reference.spread
    order = np.argsort(-distance, kind="stable")[:_NAMED]
    return tuple(
        FarStatistic(
            name=CASE_STATISTICS[k],
            value=float(statistics[k]),
            low=float(reference.low[k]),
            high=float(reference.high[k]),
        )
        for k in order
    )


def _family(
    reference: Reference,
    statistics: NDArray[np.float64],
    measures: NDArray[np.float64],
    above: dict[str, float],
    limit: float,
) -> str | None:
    """What moved: cells too much alike, a family that the trees are sure of, or foreign cells."""
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


def _words(family: str | None, farthest: tuple[FarStatistic, ...]) -> str:
    if family is not None:
        return WORDS[family]
    found = ", ".join(f"{f.name} {f.value:.4g} ({f.low:.4g} to {f.high:.4g})" for f in farthest)
    return f"{UNNAMED}: {found}"
