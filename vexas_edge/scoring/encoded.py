"""The encodings of one model's cells, as the engine returned them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.results.values import UsedCell


@dataclass(frozen=True, kw_only=True)
class CheckedCall:
    """What the fused graph itself returned for one call's cells, to be checked against the head.

    encodings: float32 (n, D).
    draws: int64 (A, K), indices into the encodings.
    probabilities: float32 (A, C).
    """

    encodings: NDArray[np.float32]
    draws: NDArray[np.int64]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The cells of one model, encoded.

    records: of every cell, whether it could be used or not.
    identities: of the N used cells.
    encodings: float32 (N, D), of the used cells in the same order.
    checked: the call to be checked against the head; None if no cell could be used.
    """

    records: tuple[UsedCell, ...]
    identities: list[bytes]
    encodings: NDArray[np.float32]
    checked: CheckedCall | None
