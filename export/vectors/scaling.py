"""How a cell's numbers are scaled for an encoder: as data, in NumPy and as ONNX nodes.

All of it is computed in float32 in every precision: a library of five million counts does not fit
into float16.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.graph import GraphBuilder
from vexas_edge.bundle.contract import Tensor, vectors_tensor

# The sum of a cell without any count; its numbers become 0.
_LEAST_LIBRARY = 1.0
SMALLEST_SPREAD = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureScaling:
    """What becomes of a cell's G numbers; each step may be left out.

    library_size: each cell's numbers are divided by their sum and multiplied by this.
    log1p: whether the logarithm of each number and 1 is taken.
    mean, spread: each number less the mean, divided by the spread; float32 (G,).
    clip: what is then further from 0 than this is set to it.

    A number that is missing, which is NaN, counts for nothing in the sum and becomes 0 at the end,
    as if it were the mean. It is an `InputScaling`.
    """

    library_size: float | None
    log1p: bool
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    clip: float | None

    @property
    def cells(self) -> Tensor:
        return vectors_tensor(len(self.mean))

    def __call__(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scaled numbers float32 (N, G) from float32 (N, G)."""
        missing = np.isnan(cells)
        scaled = np.where(missing, np.float32(0), cells)
        if self.library_size is not None:
            library = np.maximum(scaled.sum(axis=1, keepdims=True), np.float32(_LEAST_LIBRARY))
            scaled = scaled / library * np.float32(self.library_size)
        if self.log1p:
            scaled = np.log(scaled + np.float32(1))
        scaled = (scaled - self.mean) / self.spread
        if self.clip is not None:
            scaled = scaled.clip(-self.clip, self.clip)
        return np.where(missing, np.float32(0), scaled)

    def add(self, graph: GraphBuilder, cells: str) -> str:
        return add_scaling(graph, cells, self)


def fitted_scaling(
    rows: NDArray[np.float32],
    *,
    library_size: float | None = 1e4,
    log1p: bool = True,
    clip: float | None = 10.0,
) -> FeatureScaling:
    """The scaling by which each feature of these cells varies by 1 around 0.

    Args:
        rows: the cells to fit on, float32 (N, G).
    """
    plain = np.zeros(rows.shape[1], np.float32), np.ones(rows.shape[1], np.float32)
    unscaled = FeatureScaling(
        library_size=library_size, log1p=log1p, mean=plain[0], spread=plain[1], clip=None
    )(rows)
    spread = unscaled.std(axis=0, dtype=np.float64).clip(SMALLEST_SPREAD)
    return FeatureScaling(
        library_size=library_size,
        log1p=log1p,
        mean=unscaled.mean(axis=0, dtype=np.float64).astype(np.float32),
        spread=spread.astype(np.float32),
        clip=clip,
    )


def add_scaling(graph: GraphBuilder, cells: str, scaling: FeatureScaling) -> str:
    """Name of the scaled numbers float32 (N, G), computed from cells float32 (N, G)."""

    def number(value: object) -> str:
        return graph.constant(value, np.float32)

    none = number(0)
    missing = graph.node("IsNaN", cells)
    scaled = graph.node("Where", missing, none, cells)
    if scaling.library_size is not None:
        library = graph.node("ReduceSum", scaled, graph.columns(1), keepdims=1)
        library = graph.node("Max", library, number(_LEAST_LIBRARY))
        scaled = graph.node("Div", scaled, library)
        scaled = graph.node("Mul", scaled, number(scaling.library_size))
    if scaling.log1p:
        scaled = graph.node("Log", graph.node("Add", scaled, number(1)))
    scaled = graph.node("Sub", scaled, number(scaling.mean))
    scaled = graph.node("Div", scaled, number(scaling.spread))
    if scaling.clip is not None:
        scaled = graph.node("Clip", scaled, number(-scaling.clip), number(scaling.clip))
    return graph.node("Where", missing, none, scaled)
