"""Projects aggregates to two dimensions for a plot: by UMAP as in the paper, else by PCA."""

from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA

from vexas_edge.host.libraries import load_library


class Flat(NamedTuple):
    """Aggregates in two dimensions.

    points: float (A, 2).
    method: "UMAP" or "PCA".
    """

    points: np.ndarray
    method: str


def flatten(aggregates: np.ndarray) -> Flat:
    """Aggregates, float32 (A, D), in two dimensions: by UMAP if umap-learn is installed."""
    if find_spec("umap") is None:
        return Flat(PCA(2, random_state=0).fit_transform(aggregates), "PCA")
    umap = load_library("umap")
    return Flat(umap.UMAP(random_state=0).fit_transform(aggregates), "UMAP")
