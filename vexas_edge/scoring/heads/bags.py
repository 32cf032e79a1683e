"""A score as the weighted mean of what each cell says."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.contract import (
    CELL_LOGITS,
    CELL_WEIGHTS,
    COVARIATES,
    IMAGE_PROBABILITIES,
    PROBABILITIES,
)
from vexas_edge.bundle.graphs import HEAD
from vexas_edge.bundle.models import Bag, Model, Vectors
from vexas_edge.errors import BundleError
from vexas_edge.results.values import ModelScore, UsedCell, WeighedCell
from vexas_edge.scoring.encoded import Encoded
from vexas_edge.scoring.figures.bag_interval import bag_interval
from vexas_edge.scoring.figures.interval import sigmoid
from vexas_edge.scoring.figures.pulls import MOST_PULLS, pulls_from
from vexas_edge.scoring.heads.inputs import RunHead

MOST_WEIGHED = 6
# How far the score may lie from the weighted mean of its cells, of which it is rounded.
_AGREEMENT = 1e-3


def scored_as_bag(
    counted: ModelScore,
    encoded: Encoded,
    covariates: NDArray[np.float32],
    model: Model,
    column: int,
    run: RunHead,
) -> ModelScore:
    """The result with its numbers, which do not depend on the order of the cells.

    Args:
        counted: the result without an answer.
        covariates: float32 (1, M), standardised.
        column: of the positive class.
    """
    assert isinstance(model.aggregation, Bag)  # of which this is the score
    order = encoded.by_identity
    encodings, inputs = encoded.encodings[order], {COVARIATES: covariates}
    identities = [encoded.identities[place] for place in order]
    outputs = run(encodings, inputs)
    logits, weights = (outputs[of][:, 0].astype(float) for of in (CELL_LOGITS, CELL_WEIGHTS))

    def score_without(cells: Collection[int]) -> float:
        left = np.delete(encodings, list(cells), axis=0)
        found = run(left, inputs)[PROBABILITIES]
        return float(found[0, column])

    _check_consistent(counted.model, outputs, column)
    low, high = bag_interval(logits, weights, model.aggregation.weighting)
    score = float(outputs[PROBABILITIES][0, column])
    return replace(
        counted,
        score=score,
        interval_low=low,
        interval_high=high,
        probabilities=dict(zip(model.classes, outputs[PROBABILITIES][0].tolist(), strict=True)),
        cells_alone=_cells_alone(outputs, column),
        pulls=pulls_from(score, identities, _pulling(logits, weights), score_without),
        heaviest=_heaviest(logits, weights, identities),
        cells=_said_of_each(counted, identities, logits, model),
    )


def _said_of_each(
    counted: ModelScore, identities: Sequence[bytes], logits: NDArray[np.float64], model: Model
) -> tuple[UsedCell, ...]:
    """The records; each cell of a table has its likeliest class, by what the cell says alone."""
    if not isinstance(model.instances, Vectors):
        return counted.cells
    others, positive = model.classes
    said = {}
    for identity, logit in zip(identities, logits.tolist(), strict=True):
        probability = sigmoid(abs(logit))
        said[identity.hex()] = (positive if logit >= 0 else others, probability)

    def named(record: UsedCell) -> UsedCell:
        if record.status != "used":
            return record
        name, probability = said[record.identity]
        return replace(record, predicted_class=name, probability=probability)

    return tuple(map(named, counted.cells))


def _pulling(logits: NDArray[np.float64], weights: NDArray[np.float64]) -> list[int]:
    """The cells that may pull most, as indices: down first, then up."""
    order = np.argsort(weights * (logits - float(weights @ logits)), kind="stable").tolist()
    return list(dict.fromkeys([*order[:MOST_PULLS], *order[-MOST_PULLS:]]))


def _check_consistent(model: str, outputs: dict[str, NDArray[Any]], column: int) -> None:
    """Check that a head's outputs say the same: the score is the weighted mean of the cells.

    Raises:
        BundleError: they do not, so nothing that is said of cells would be true.
    """
    logits, weights = (outputs[n][:, 0].astype(np.float64) for n in (CELL_LOGITS, CELL_WEIGHTS))
    score = float(outputs[PROBABILITIES][0, column])
    finite = all(np.isfinite(values).all() for values in outputs.values())
    if not (
        finite
        and weights.min() >= 0
        and abs(float(weights.sum()) - 1) <= _AGREEMENT
        and abs(sigmoid(float(weights @ logits)) - score) <= _AGREEMENT
    ):
        raise BundleError(
            f"model {model}: its {HEAD} contradicts itself: the score is not the weighted mean of "
            "its cells; export the bundle again"
        )


def _cells_alone(outputs: dict[str, NDArray[Any]], column: int) -> float | None:
    found = outputs.get(IMAGE_PROBABILITIES)
    return None if found is None else float(found[0, column])


def _heaviest(
    logits: NDArray[np.float64], weights: NDArray[np.float64], identities: list[bytes]
) -> tuple[WeighedCell, ...]:
    """The cells of the largest weights, the heaviest first; none that weighs nothing."""
    n_weighed = int((weights > 0).sum())
    order = np.argsort(-weights, kind="stable")[: min(MOST_WEIGHED, n_weighed)]
    return tuple(
        WeighedCell(
            identity=identities[place].hex(),
            weight=float(weights[place]),
            score=sigmoid(float(logits[place])),
        )
        for place in order.tolist()
    )
