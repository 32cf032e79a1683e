"""The inputs and outputs of each graph of a model: their names, types and shapes, said once.

All code that makes a graph, checks one, feeds one or reads its outputs relies on this file.

| graph | takes | returns |
|---|---|---|
| fused, of any precision | `cells`, `draws` | `encodings`, `probabilities`, `decisions` |
| head | `encodings`, `draws` | `probabilities`, `decisions` |
| mask network | `crops` | `masks` |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.graphs import HEAD, ISOLATE
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.cells.limits import GRID_PX, MASK_CLASSES
from vexas_edge.engines.contract import RowGroup

CELLS, DRAWS = "cells", "draws"
ENCODINGS, PROBABILITIES, DECISIONS = "encodings", "probabilities", "decisions"
CROPS, MASKS = "crops", "masks"
# Tensors inside a fused graph and a mask network; they keep their names so that they can be read.
PIXELS, EMBEDDING, AGGREGATES, LOGITS = "pixels", "embedding", "aggregates", "logits"
# The input of a classifier that is not yet joined to an aggregation.
FEATURES = "features"

# The free first dimensions, as the graphs call them: the number of cells and of draws.
N_CELLS, N_DRAWS = "N", "A"

# How many draws of one call's cells are taken to check that the fused graph and the head agree.
CHECKED_DRAWS = 64
# How many made-up cells a bundle's self-test has; they run in one call.
GOLDEN_CELLS = 4

Shape = tuple[int | None, ...]
Feeds = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """An input or output of a graph.

    rows: the name of the first dimension, which is free.
    row_shape: the other dimensions, which are fixed.
    """

    name: str
    dtype: Literal["uint8", "int64", "float32"]
    rows: str
    row_shape: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        """The whole shape, with None for the free number of rows."""
        return (None, *self.row_shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphContract:
    """The inputs and outputs of one graph."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def feeds(self, values: Mapping[str, NDArray[Any]]) -> Feeds:
        """Those of the values that the graph takes, in the order of its inputs.

        Raises:
            KeyError: an input is missing from the values.
        """
        return {tensor.name: values[tensor.name] for tensor in self.inputs}

    def one_draw_feeds(self, cells: NDArray[Any]) -> Feeds:
        """Feeds for the encodings of cells alone: every other input gets one row of zeros.

        The other inputs are needed because no engine skips the classifier.

        Args:
            cells: (N, ...), one row per cell, for the graph's first input.
        """
        others = {t.name: np.zeros((1, *t.row_shape), t.dtype) for t in self.inputs[1:]}
        return {self.inputs[0].name: cells, **others}

    def missing_from(self, shapes: Mapping[str, Shape]) -> Tensor | None:
        """The first input or output that these shapes lack or have otherwise; None if they agree.

        Args:
            shapes: the shapes of a graph's inputs and outputs, by name.
        """
        tensors = (*self.inputs, *self.outputs)
        return next((t for t in tensors if shapes.get(t.name) != t.shape), None)

    def of_cells(self) -> "GraphContract":
        """The part that each cell has for itself: its inputs, and the outputs of nothing else."""
        inputs, outputs = (
            tuple(tensor for tensor in tensors if tensor.rows == N_CELLS)
            for tensors in (self.inputs, self.outputs)
        )
        return GraphContract(inputs=inputs, outputs=outputs)

    def rows(self, block: int) -> tuple[RowGroup, ...]:
        """The graph's groups of tensors with the same number of rows, for calls of `block` cells.

        A call may be filled up with black cells, since no draw takes them.
        """
        most = {N_CELLS: max(block, GOLDEN_CELLS), N_DRAWS: CHECKED_DRAWS}
        tensors = (*self.inputs, *self.outputs)
        return tuple(
            RowGroup(
                tensors=frozenset(tensor.name for tensor in tensors if tensor.rows == rows),
                most=most[rows],
                block=block if rows == N_CELLS else None,
            )
            for rows in dict.fromkeys(tensor.rows for tensor in tensors)
        )


def fused_contract(
    *, canvas_px: int, draw_size: int, encoding_width: int, n_classes: int
) -> GraphContract:
    """A fused graph: from cells and draws to encodings of cells and results of draws."""
    encodings = _encodings(encoding_width)
    return GraphContract(
        inputs=(cells_tensor(canvas_px), _draws(draw_size)),
        outputs=(encodings, *_results(n_classes)),
    )


def encoding_contract(*, canvas_px: int, encoding_width: int) -> GraphContract:
    """The part of a fused graph before the classifier: from cells to encodings."""
    return GraphContract(inputs=(cells_tensor(canvas_px),), outputs=(_encodings(encoding_width),))


def head_contract(*, draw_size: int, encoding_width: int, n_classes: int) -> GraphContract:
    """A head: from encodings and draws to probabilities and decisions of draws."""
    return GraphContract(
        inputs=(_encodings(encoding_width), _draws(draw_size)), outputs=_results(n_classes)
    )


def contract_of(manifest: Manifest, model: str, file: str) -> GraphContract:
    """The inputs and outputs of one graph of a bundle, by the name of its file."""
    if file == ISOLATE:
        return MASK_CONTRACT
    entry = manifest.models[model]
    sizes = {
        "draw_size": entry.aggregation.draw_size,
        "encoding_width": entry.encoding_width,
        "n_classes": len(manifest.classes),
    }
    if file == HEAD:
        return head_contract(**sizes)
    return fused_contract(canvas_px=entry.canvas_px, **sizes)


def cells_tensor(canvas_px: int) -> Tensor:
    """The input of cells on a model's canvas, RGB."""
    shape = (canvas_px, canvas_px, 3)
    return Tensor(name=CELLS, dtype="uint8", rows=N_CELLS, row_shape=shape)


def n_decisions(n_classes: int) -> int:
    """The number of decision values: one for each pair of classes."""
    return n_classes * (n_classes - 1) // 2


def _draws(draw_size: int) -> Tensor:
    return Tensor(name=DRAWS, dtype="int64", rows=N_DRAWS, row_shape=(draw_size,))


def _encodings(width: int) -> Tensor:
    return Tensor(name=ENCODINGS, dtype="float32", rows=N_CELLS, row_shape=(width,))


def _results(n_classes: int) -> tuple[Tensor, ...]:
    widths = {PROBABILITIES: n_classes, DECISIONS: n_decisions(n_classes)}
    return tuple(
        Tensor(name=name, dtype="float32", rows=N_DRAWS, row_shape=(width,))
        for name, width in widths.items()
    )


# A mask network takes crops on a small grid and returns each class's probability for each pixel.
MASK_CONTRACT = GraphContract(
    inputs=(Tensor(name=CROPS, dtype="uint8", rows=N_CELLS, row_shape=(GRID_PX, GRID_PX, 3)),),
    outputs=(
        Tensor(
            name=MASKS,
            dtype="float32",
            rows=N_CELLS,
            row_shape=(len(MASK_CLASSES), GRID_PX, GRID_PX),
        ),
    ),
)
