"""The rows of a table that an export is compared on."""

from pathlib import Path

import numpy as np

from vexas_edge.bundle.models import Vectors
from vexas_edge.cells.vectors.cases import read_table
from vexas_edge.cells.vectors.matching import WantedFeatures
from vexas_edge.errors import InputError
from vexas_edge.scoring.vectors.reading import KEPT_ROWS_BYTES, read_rows

# Parity needs no more, and one that reads a whole cohort by mistake would take hours.
_MOST_ROWS = 256


def load_rows(path: Path, features: tuple[str, ...], vectors: Vectors) -> np.ndarray:
    """Distinct cells of a table as a model takes them, float32 (N, n_features), N of at most 256.

    Raises:
        InputError: it cannot be read, holds fewer than two distinct cells, or lacks more features
            than the model allows.
    """
    wanted = WantedFeatures(names=features, kind=vectors.names, are_counts=vectors.counts)
    with read_table(path) as case:
        read = read_rows(case, wanted, lambda *_: None, KEPT_ROWS_BYTES)
    if len(read.distinct) < 2:
        raise InputError(
            f"{path} holds {len(read.distinct)} distinct cells; comparing needs at least two"
        )
    n_missing = len(read.matched.missing)
    if n_missing > vectors.missing_share * len(features):
        raise InputError(f"{path} lacks {n_missing} of the model's {len(features)} features")
    return read.placed(read.distinct[:_MOST_ROWS])
