"""What stands between a model's cells and its encoder."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from export.graph import GraphBuilder
from vexas_edge.bundle.contract import Tensor


class InputScaling(Protocol):
    """How cells are scaled for an encoder: of images their pixels, of vectors their numbers."""

    @property
    def cells(self) -> Tensor:
        """The graph's input of cells."""

    def __call__(self, cells: NDArray[Any]) -> NDArray[np.float32]:
        """What the encoder takes, float32 (N, ...), from cells as the graph takes them."""

    def add(self, graph: GraphBuilder, cells: str) -> str:
        """Add the same as nodes; returns the name of what the encoder takes."""
