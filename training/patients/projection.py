"""Aggregates in two dimensions, to look at: UMAP as in the paper, or PCA where it is not there."""

from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA


class Flat(NamedTuple):
    """points: float (A, 2). method: "UMAP" or "PCA"."""

    points: np.ndarray
    method: str


def flatten(aggregates: np.ndarray) -> Flat:
    """Two dimensions of aggregates float32 (A, D); UMAP where umap-learn is installed."""
    if find_spec("umap") is None:
        return Flat(PCA(2, random_state=0).fit_transform(aggregates), "PCA")
    import umap

    return Flat(umap.UMAP(random_state=0).fit_transform(aggregates), "UMAP")
