"""Scores bags of cells by a head of the model's form that has not seen some patients.

Cells are weighed as the bundle's own head weighs them. A patient's logit is linear in the weighted
mean of its encodings, so a regression on these means is what the head would be without the
patients that are left out. Covariates are left out: changed images change no age.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.reference.held_out import Bag, Scorer

# From the encodings of a case's cells in the order of their identities, float32 (N, D), to the
# weight of each cell in the bundle's head, float64 (N,).
WeighCells = Callable[[NDArray[np.float32]], NDArray[np.float64]]


def bag_scorer(bags: Sequence[Bag], positive: Sequence[bool], weigh: WeighCells) -> Scorer:
    """A scorer that is fitted on these bags, of which each group weighs the same.

    Args:
        positive: whether each bag is of the positive group.
    """

    def means(some: Sequence[Bag]) -> NDArray[np.float64]:
        return np.stack([_mean(encodings, identities, weigh) for encodings, identities in some])

    regression = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    regression.fit(means(bags), positive)

    def scores(some: Sequence[Bag]) -> NDArray[np.float64]:
        if not some:
            return np.empty(0)
        found: NDArray[np.float64] = regression.predict_proba(means(some))[:, 1]
        return found

    return scores


def _mean(
    encodings: NDArray[np.float32], identities: Sequence[bytes], weigh: WeighCells
) -> NDArray[np.float64]:
    order = sorted(range(len(identities)), key=identities.__getitem__)
    ordered = encodings[order]
    found: NDArray[np.float64] = weigh(ordered) @ ordered.astype(np.float64)
    return found
