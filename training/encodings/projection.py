"""Projects vectors to two dimensions for a plot, by UMAP as in the VEXAS paper.

UMAP (McInnes et al., arXiv 1802.03426) keeps who is near to whom, not how far apart they are.
"""

import warnings

import numpy as np

from vexas_edge.host.libraries import load_library

# The paper's for labelled cells; for aggregates it has the library's default.
OF_CELLS, OF_AGGREGATES = 5, 15
_FEW = 100  # of fewer vectors a spectrum to begin with cannot always be had
_SEED = 0


def flattened(vectors: np.ndarray, neighbours: int) -> np.ndarray:
    """The vectors, float32 (n, D), in two dimensions, float32 (n, 2), the same at every call.

    Args:
        neighbours: near vectors that each keeps near; at most n - 1 are.
    """
    if len(vectors) < 3:
        return np.zeros((len(vectors), 2), np.float32) + np.arange(len(vectors))[:, None]
    umap = load_library("umap")
    start = "random" if len(vectors) < _FEW else "spectral"
    fitted = umap.UMAP(min(neighbours, len(vectors) - 1), init=start, random_state=_SEED, n_jobs=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_jobs value", UserWarning)  # of which it had one
        flat: np.ndarray = fitted.fit_transform(vectors)
    return flat
