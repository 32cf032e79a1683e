"""A score as the mean over medians of random cells."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.contract import DECISIONS, DRAWS, PROBABILITIES
from vexas_edge.bundle.models import Model
from vexas_edge.results.values import ModelScore
from vexas_edge.scoring.draws import draws_of
from vexas_edge.scoring.encoded import Encoded
from vexas_edge.scoring.figures.interval import prediction_interval
from vexas_edge.scoring.figures.labels import label_indices
from vexas_edge.scoring.figures.pulls import pulls_of
from vexas_edge.scoring.heads.inputs import RunHead


def scored_by_medians(
    counted: ModelScore, encoded: Encoded, model: Model, column: int, run: RunHead
) -> ModelScore:
    """The result with its numbers.

    Args:
        counted: the result without an answer.
        column: of the positive class.
    """
    recipe, draws = model.medians, draws_of(encoded.identities, model)

    def classify(other: NDArray[np.int64]) -> NDArray[np.float64]:
        found = run(encoded.encodings, {DRAWS: other})[PROBABILITIES]
        return found[:, column].astype(np.float64)

    outputs = run(encoded.encodings, {DRAWS: draws})
    probabilities = outputs[PROBABILITIES].astype(np.float64)
    labels = label_indices(outputs[DECISIONS], probabilities, recipe.label_rule)
    positive = probabilities[:, column]
    low, high = prediction_interval(positive, draws, len(encoded.identities))
    draws_low, draws_high = np.percentile(positive, [2.5, 97.5])
    return replace(
        counted,
        n_draws=len(probabilities),
        score=float(positive.mean()),
        interval_low=low,
        interval_high=high,
        standard_error=_standard_error(positive),
        draws_low=float(draws_low),
        draws_high=float(draws_high),
        share_over_threshold=float((positive >= model.threshold).mean()),
        probabilities=dict(zip(model.classes, probabilities.mean(axis=0).tolist(), strict=True)),
        label_shares={
            label: float((labels == index).mean()) for index, label in enumerate(model.classes)
        },
        pulls=pulls_of(positive, draws, encoded.identities, recipe.seed, classify),
    )


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
