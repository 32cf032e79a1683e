"""The inputs and outputs of each graph of a model: their names, types and shapes, said once.

All code that makes a graph, checks one, feeds one or reads its outputs relies on this file.

| graph | takes | returns |
|---|---|---|
| fused, of medians, of any precision | `cells`, `draws` | `encodings` and the head's results |
| fused, of a bag | `cells`, `members`, `covariates` | `encodings` and the head's results |
| head of medians | `encodings`, `draws` | its results: `probabilities`, `decisions` |
| head of a bag | `encodings`, `covariates` | the same, `cell_logits`, `cell_weights` |
| mask network | `crops` | `masks` |

A bag has `covariates` if its model takes any, and its head then returns `image_probabilities`
unless they are in the network. `members` are the cells that are in the bag, in the order in which
they are summed, since an engine may fill a call up with others; the head takes all its encodings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.graphs import HEAD, ISOLATE
from vexas_edge.bundle.models import Bag, Images, Instances, Medians, Model, Network
from vexas_edge.cells.limits import GRID_PX, MASK_CLASSES
from vexas_edge.engines.contract import RowGroup

CELLS, DRAWS, MEMBERS, COVARIATES = "cells", "draws", "members", "covariates"
ENCODINGS, PROBABILITIES, DECISIONS = "encodings", "probabilities", "decisions"
CELL_LOGITS, CELL_WEIGHTS = "cell_logits", "cell_weights"
IMAGE_PROBABILITIES = "image_probabilities"
CROPS, MASKS = "crops", "masks"
# Tensors inside a fused graph and a mask network; they keep their names so that they can be read.
SCALED, EMBEDDING, AGGREGATES, LOGITS = "scaled", "embedding", "aggregates", "logits"
# The input of a classifier that is not yet joined to an aggregation.
FEATURES = "features"

# The free first dimensions, as the graphs call them: the number of cells, of draws, and of cells in
# a bag; and the one row of what is said of a whole bag.
N_CELLS, N_DRAWS, N_MEMBERS = "N", "A", "B"
ONE = 1

# How many draws of one call's cells are taken to check that the fused graph and the head agree.
CHECKED_DRAWS = 64
# How many made-up cells a bundle's self-test has; they run in one call.
GOLDEN_CELLS = 4

Shape = tuple[int | None, ...]
Feeds = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """An input or output of a graph.

    rows: the first dimension: its name if it is free, else its number.
    row_shape: the other dimensions, which are fixed.
    """

    name: str
    dtype: Literal["uint8", "int64", "float32"]
    rows: str | int
    row_shape: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        """The whole shape, with None for a free number of rows."""
        return (self.rows if isinstance(self.rows, int) else None, *self.row_shape)


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

    def feeds_of_cells(self, cells: NDArray[Any]) -> Feeds:
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

        A call may be filled up with black cells, since no draw takes them and no bag has them.
        """
        cells = max(block, GOLDEN_CELLS)
        most = {N_CELLS: cells, N_DRAWS: CHECKED_DRAWS, N_MEMBERS: cells, ONE: ONE}
        tensors = (*self.inputs, *self.outputs)
        return tuple(
            RowGroup(
                tensors=frozenset(tensor.name for tensor in tensors if tensor.rows == rows),
                most=most[rows],
                block=block if rows == N_CELLS else None,
            )
            for rows in dict.fromkeys(tensor.rows for tensor in tensors)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSizes:
    """What the inputs and outputs of a model's head depend on.

    draw_size: None for a bag.
    """

    encoding_width: int
    draw_size: int | None = None
    n_classes: int = 2
    n_covariates: int = 0
    image_alone: bool = False

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a head takes beside the encodings."""
        if self.draw_size is not None:
            return (Tensor(name=DRAWS, dtype="int64", rows=N_DRAWS, row_shape=(self.draw_size,)),)
        return (_floats(COVARIATES, ONE, self.n_covariates),) if self.n_covariates else ()

    @property
    def results(self) -> tuple[Tensor, ...]:
        """What a head and a fused graph return."""
        rows = ONE if self.draw_size is None else N_DRAWS
        return (
            _floats(PROBABILITIES, rows, self.n_classes),
            _floats(DECISIONS, rows, n_decisions(self.n_classes)),
        )

    @property
    def details(self) -> tuple[Tensor, ...]:
        """What a head alone returns."""
        if self.draw_size is not None:
            return ()
        of_cells = (_floats(name, N_CELLS, 1) for name in (CELL_LOGITS, CELL_WEIGHTS))
        image = _floats(IMAGE_PROBABILITIES, ONE, self.n_classes)
        return (*of_cells, *([image] if self.image_alone else []))


def head_sizes(model: Network) -> HeadSizes:
    """The sizes of a model of a manifest."""
    recipe = model.aggregation
    return HeadSizes(
        encoding_width=model.encoding_width,
        draw_size=recipe.draw_size if isinstance(recipe, Medians) else None,
        n_classes=len(model.classes),
        n_covariates=len(model.covariates) if isinstance(model, Model) else 0,
        image_alone=isinstance(recipe, Bag) and recipe.image_alone,
    )


def fused_contract(cells: Tensor, head: HeadSizes) -> GraphContract:
    """A fused graph: from cells and what the head takes to encodings and the head's results.

    Args:
        cells: as `cells_tensor` gives it.
    """
    members = Tensor(name=MEMBERS, dtype="int64", rows=N_MEMBERS, row_shape=())
    return GraphContract(
        inputs=(
            cells,
            *([members] if head.draw_size is None else []),
            *head.inputs,
        ),
        outputs=(_encodings(head.encoding_width), *head.results),
    )


def encoding_contract(cells: Tensor, encoding_width: int) -> GraphContract:
    """The part of a fused graph before the classifier: from cells to encodings."""
    return GraphContract(inputs=(cells,), outputs=(_encodings(encoding_width),))


def head_contract(head: HeadSizes) -> GraphContract:
    """A head: from encodings and what else it takes to its results."""
    return GraphContract(
        inputs=(_encodings(head.encoding_width), *head.inputs),
        outputs=(*head.results, *head.details),
    )


def contract_of(network: Network, file: str) -> GraphContract:
    """The inputs and outputs of one graph of a model, by the name of its file."""
    if file == ISOLATE:
        return MASK_CONTRACT
    sizes = head_sizes(network)
    if file == HEAD:
        return head_contract(sizes)
    return fused_contract(cells_tensor(network.instances), sizes)


def cells_tensor(instances: Instances) -> Tensor:
    """The input of cells: images on a model's canvas, RGB, or rows of numbers."""
    if isinstance(instances, Images):
        return images_tensor(instances.canvas_px)
    return vectors_tensor(instances.n_features)


def images_tensor(canvas_px: int) -> Tensor:
    """The input of cells on a canvas, uint8 RGB."""
    shape = (canvas_px, canvas_px, 3)
    return Tensor(name=CELLS, dtype="uint8", rows=N_CELLS, row_shape=shape)


def vectors_tensor(n_features: int) -> Tensor:
    """The input of cells of so many numbers; NaN stands for one that is missing."""
    return Tensor(name=CELLS, dtype="float32", rows=N_CELLS, row_shape=(n_features,))


def n_decisions(n_classes: int) -> int:
    """The number of decision values: one for each pair of classes."""
    return n_classes * (n_classes - 1) // 2


def _floats(name: str, rows: str | int, width: int) -> Tensor:
    return Tensor(name=name, dtype="float32", rows=rows, row_shape=(width,))


def _encodings(width: int) -> Tensor:
    return _floats(ENCODINGS, N_CELLS, width)


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
