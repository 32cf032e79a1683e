"""What follows the encodings in a model's graphs: an aggregation and a classifier."""

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from onnx import ModelProto, TensorProto

from export.classifier import Classifier, onnx_from_classifier
from export.classifier_parity import classifier_parity
from export.graph import GraphBuilder
from export.median import add_median
from vexas_edge.bundle.contract import (
    AGGREGATES,
    DECISIONS,
    DRAWS,
    FEATURES,
    PROBABILITIES,
    Feeds,
    HeadSizes,
)
from vexas_edge.scoring.draws import draw_cells

# Of the cells that a head is compared on.
_DRAWS = 1000


class Head(Protocol):
    """The aggregation and the classifier of one model."""

    @property
    def sizes(self) -> HeadSizes: ...

    @property
    def weighs_positions(self) -> bool:
        """Whether the last number of an encoding is the logarithm of the cell's weight."""

    def add(self, graph: GraphBuilder, encodings: str, accumulate: type, *, fused: bool) -> None:
        """Add the nodes from encodings to the results and, unless `fused`, the details.

        Args:
            encodings: the tensor that holds them, float32 (N, D).
            accumulate: numpy.float32 or numpy.float64, what the long sums are computed in.
        """

    def feeds(self, cells: np.ndarray) -> Feeds:
        """What a fused graph of this head takes beside these cells, to be compared on."""

    def check(
        self, graph: ModelProto, encodings: np.ndarray, feeds: Feeds
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Compare the head's graph with its source.

        Args:
            encodings: of the cells, float32 (N, D).
            feeds: as `feeds` gives them for the cells.

        Returns:
            The largest differences, and the graph's probabilities.

        Raises:
            ParityError: a tensor differs, a label flips, or too many draws jumped.
        """


@dataclass(frozen=True, kw_only=True)
class MedianHead:
    """Medians of random cells, and a fitted scikit-learn classifier."""

    classifier: Classifier
    draw_size: int

    @property
    def sizes(self) -> HeadSizes:
        return HeadSizes(
            encoding_width=int(self.classifier.n_features_in_),
            draw_size=self.draw_size,
            n_classes=len(self.classifier.classes_),
        )

    @property
    def weighs_positions(self) -> bool:
        return False

    def add(self, graph: GraphBuilder, encodings: str, accumulate: type, *, fused: bool) -> None:  # noqa: ARG002 - it has no details
        median = add_median(graph, encodings, DRAWS, self.draw_size)
        aggregates = graph.rename(median, AGGREGATES)
        width = int(self.classifier.n_features_in_)
        model = onnx_from_classifier(self.classifier, width, accumulate)
        outputs = graph.place(model, "classifier", {FEATURES: aggregates})
        for name in (PROBABILITIES, DECISIONS):
            graph.node("Cast", outputs[name], output=name, to=TensorProto.FLOAT)

    def feeds(self, cells: np.ndarray) -> Feeds:
        identities = [hashlib.sha256(cell.tobytes()).digest() for cell in cells]
        return {DRAWS: draw_cells(identities, _DRAWS, self.draw_size, seed=0)}

    def check(
        self, graph: ModelProto, encodings: np.ndarray, feeds: Feeds
    ) -> tuple[dict[str, Any], np.ndarray]:
        measured, outputs = classifier_parity(graph, encodings, feeds[DRAWS], self.classifier)
        return measured, outputs[PROBABILITIES]
