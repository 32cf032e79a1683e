"""Cells as the network is shown them: scaled, and some at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from export.vectors.scaling import FeatureScaling, fitted_scaling
from training.expression.options import ExpressionOptions

# Numbers of cells (N, G) as they were read, sparse or dense.
ExpressionRows: TypeAlias = sparse.csr_matrix | NDArray[np.float32]

_ROWS_PER_CALL = 256
# So many numbers are kept scaled, in float32; of more, each batch is scaled when it is asked for.
# A scaling is fitted on so many at most.
_MOST_KEPT = 200_000_000


@dataclass(frozen=True, eq=False)
class ScaledRows:
    """Cells with the scaling that they are shown in.

    rows: float32 (N, G).
    """

    rows: ExpressionRows
    scaling: FeatureScaling

    def __len__(self) -> int:
        return self.rows.shape[0]

    def of(self, chosen: NDArray[np.int64]) -> Tensor:
        """Scaled numbers of some cells, float32 (n, G), by their rows."""
        if self._kept is not None:
            return self._kept[torch.from_numpy(chosen)]
        return torch.from_numpy(self.scaling(dense_rows(self.rows, chosen)))

    def in_turn(self) -> Iterator[Tensor]:
        """All cells, some at a time, float32 (n, G)."""
        for first in range(0, len(self), _ROWS_PER_CALL):
            yield self.of(np.arange(first, min(first + _ROWS_PER_CALL, len(self))))

    @cached_property
    def _kept(self) -> Tensor | None:
        if self.rows.shape[0] * self.rows.shape[1] > _MOST_KEPT:
            return None
        return torch.from_numpy(self.scaling(dense_rows(self.rows, slice(None))))


def dense_rows(
    rows: ExpressionRows, chosen: NDArray[np.int64] | slice = slice(None)
) -> NDArray[np.float32]:
    """Some of the rows, dense, float32 (n, G)."""
    some = rows[chosen]
    dense = some if isinstance(some, np.ndarray) else some.toarray()
    return dense.astype(np.float32, copy=False)


def scaling_for(rows: ExpressionRows, options: ExpressionOptions) -> FeatureScaling:
    """The scaling that is fitted on these cells, or on some of them drawn where they are many."""
    most = max(2, _MOST_KEPT // rows.shape[1])
    chosen = np.arange(rows.shape[0])
    if len(chosen) > most:
        drawn = np.random.default_rng(options.seed).choice(chosen, most, replace=False)
        chosen = np.sort(drawn)
    return fitted_scaling(
        dense_rows(rows, chosen),
        library_size=options.library_size,
        log1p=options.log1p,
        clip=options.clip,
    )
