"""The head of a bag as a graph: each cell's logit and weight, and the patient's probability.

A cell's logit is that which the patient would have if all cells were like this one: the regression
that ends the network is a straight line, and weights are of sum 1, so both may change places.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto

from export.bags.aggregation import AggregationOptions
from export.bags.bag_file import Regression, TrainedBag
from export.bags.bag_parity import bag_parity
from export.graph import GraphBuilder
from vexas_edge.bundle.contract import (
    CELL_LOGITS,
    CELL_WEIGHTS,
    COVARIATES,
    DECISIONS,
    IMAGE_PROBABILITIES,
    MEMBERS,
    PROBABILITIES,
    Feeds,
    HeadSizes,
)

# What torch adds to a variance in batch normalisation.
_EPSILON = 1e-5


@dataclass(frozen=True, kw_only=True)
class BagHead:
    """The layers of a trained bag behind its encoder."""

    bag: TrainedBag

    @property
    def sizes(self) -> HeadSizes:
        facts = self.bag.facts
        return HeadSizes(
            encoding_width=self.bag.encoding_width,
            n_covariates=len(facts.covariates),
            image_alone=bool(facts.covariates) and facts.image is not None,
        )

    @property
    def weighs_positions(self) -> bool:
        """As `Head` has it."""
        return self.bag.facts.aggregation.level == "position"

    def add(self, graph: GraphBuilder, encodings: str, accumulate: type, *, fused: bool) -> None:
        """As `Head` has it; a fused graph takes those of its cells that are members."""
        if fused:
            encodings = graph.node("Gather", encodings, MEMBERS, axis=0)
        nodes = _Nodes(graph, self.bag, accumulate)
        features, marks = nodes.parted(nodes.cast(encodings))
        rows = nodes.standardised(features)
        logits = nodes.linear(rows, "classify")
        weights = nodes.weights(marks or nodes.marks(rows, logits), logits)
        facts = self.bag.facts
        joined = nodes.joined(logits, facts.final)
        nodes.results(graph.node("ReduceSum", graph.node("Mul", weights, joined), keepdims=1))
        if fused:
            return
        nodes.output(joined, CELL_LOGITS)
        nodes.output(weights, CELL_WEIGHTS)
        if self.sizes.image_alone and facts.image is not None:
            alone = nodes.joined(logits, facts.image)
            total = graph.node("ReduceSum", graph.node("Mul", weights, alone), keepdims=1)
            nodes.output(nodes.probabilities(total), IMAGE_PROBABILITIES)

    def feeds(self, cells: np.ndarray) -> Feeds:
        """As `Head` has it: the cells in reverse, and made-up covariates."""
        rng = np.random.Generator(np.random.PCG64(0))
        covariates = rng.normal(size=(1, self.sizes.n_covariates)).astype(np.float32)
        members = {MEMBERS: np.arange(len(cells))[::-1].copy()}
        return {**members, **({COVARIATES: covariates} if covariates.size else {})}

    def check(
        self, graph: ModelProto, encodings: np.ndarray, feeds: Feeds
    ) -> tuple[dict[str, Any], np.ndarray]:
        """As `Head` has it."""
        none = np.zeros((1, 0), np.float32)
        ordered = encodings[feeds[MEMBERS]]
        return bag_parity(graph, ordered, feeds.get(COVARIATES, none), self.bag)


class _Nodes:
    """Adds nodes that compute in one float type."""

    def __init__(self, graph: GraphBuilder, bag: TrainedBag, dtype: type) -> None:
        self._graph, self._facts, self._dtype = graph, bag.facts, dtype
        state = bag.layers.state_dict()
        self._state = {name: tensor.double().numpy() for name, tensor in state.items()}

    def parted(self, encodings: str) -> tuple[str, str | None]:
        """Features (N, D), and the logarithms of weights (N, 1) where positions were weighed."""
        if self._facts.aggregation.level == "cell":
            return encodings, None
        width = len(self._state["mean"])
        split = self._graph.constant([width, 1], np.int64)
        features = self._graph.node("Split", encodings, split, axis=1, unused_outputs=1)
        return features, f"{features}_unused_0"

    def cast(self, values: str) -> str:
        """The same values in the type that is computed in."""
        kind = TensorProto.DOUBLE if self._dtype is np.float64 else TensorProto.FLOAT
        return self._graph.node("Cast", values, to=kind)

    def standardised(self, features: str) -> str:
        centred = self._graph.node("Sub", features, self._constant(self._state["mean"]))
        return self._graph.node("Div", centred, self._constant(self._state["spread"]))

    def linear(self, rows: str, layer: str) -> str:
        """A linear layer of the network, by its name there."""
        weight, bias = self._state[f"{layer}.weight"], self._state[f"{layer}.bias"]
        product = self._graph.node("MatMul", rows, self._constant(weight.T))
        return self._graph.node("Add", product, self._constant(bias))

    def marks(self, rows: str, logits: str) -> str:
        """What cells are weighed by, (N, 1)."""
        weighting, graph = self._facts.aggregation.method, self._graph
        if weighting == "learned":
            norm = {
                part: self._state[f"aggregation.norm.{part}"]
                for part in ("running_mean", "running_var", "weight", "bias")
            }
            scale = norm["weight"] / np.sqrt(norm["running_var"] + _EPSILON)
            scaled = self._line(logits, scale, norm["bias"] - norm["running_mean"] * scale)
            return graph.node("Neg", graph.node("Softplus", graph.node("Neg", scaled)))
        if weighting == "attention":
            value = graph.node("Tanh", self.linear(rows, "aggregation.value"))
            gate = graph.node("Sigmoid", self.linear(rows, "aggregation.gate"))
            return self.linear(graph.node("Mul", value, gate), "aggregation.score")
        return logits

    def weights(self, marks: str, logits: str) -> str:
        """The weights of cells, (N, 1), of sum 1."""
        options, graph = self._facts.aggregation, self._graph
        if options.method in ("learned", "attention"):
            return graph.node("Softmax", marks, axis=0)
        n_cells = graph.node("Shape", logits, start=0, end=1)
        if options.method == "mean":
            alike = graph.node("Expand", self._constant([[1.0]]), graph.node("Shape", logits))
            return graph.node("Div", alike, self.cast(n_cells))
        taken = _add_taken(graph, n_cells, options)
        sides = [1] if options.method == "topk" else [1, 0]
        parts = [self._share_of(marks, taken, largest, len(sides)) for largest in sides]
        return parts[0] if len(parts) == 1 else graph.node("Add", *parts)

    def _share_of(self, marks: str, taken: str, largest: int, n_sides: int) -> str:
        """Equal weights for the highest or lowest cells, and 0 for the others."""
        graph = self._graph
        found = graph.node("TopK", marks, taken, axis=0, largest=largest, unused_outputs=1)
        places = f"{found}_unused_0"
        share = graph.node("Div", self._constant([[1 / n_sides]]), self.cast(taken))
        shares = graph.node("Expand", share, graph.node("Shape", places))
        none = graph.node("Mul", marks, self._constant(0.0))
        return graph.node("ScatterElements", none, places, shares, axis=0)

    def joined(self, logits: str, regression: Regression) -> str:
        """Cells' logits, standardised and joined with the covariates as a regression has it."""
        facts, graph = self._facts, self._graph
        first, *others = regression.weights
        slope = first / facts.spread
        line = self._line(logits, slope, regression.bias - facts.middle * slope)
        if facts.in_network:
            others = list(self._state["covariates"] * slope)
        if not others:
            return line
        known = graph.node("MatMul", self.cast(COVARIATES), self._constant(others, (-1, 1)))
        return graph.node("Add", line, known)

    def results(self, total: str) -> None:
        """The outputs, from the patient's logit (1, 1)."""
        self.output(total, DECISIONS)
        self.output(self.probabilities(total), PROBABILITIES)

    def probabilities(self, total: str) -> str:
        negative = self._graph.node("Sigmoid", self._graph.node("Neg", total))
        return self._graph.node("Concat", negative, self._graph.node("Sigmoid", total), axis=1)

    def output(self, values: str, name: str) -> None:
        self._graph.node("Cast", values, output=name, to=TensorProto.FLOAT)

    def _line(self, values: str, slope: object, shift: object) -> str:
        scaled = self._graph.node("Mul", values, self._constant(slope))
        return self._graph.node("Add", scaled, self._constant(shift))

    def _constant(self, values: object, shape: tuple[int, ...] | None = None) -> str:
        array: np.ndarray = np.asarray(values, self._dtype)
        return self._graph.constant(array if shape is None else array.reshape(shape))


def _add_taken(graph: GraphBuilder, n_cells: str, options: AggregationOptions) -> str:
    """How many cells a side takes, int64 (1,), as `AggregationOptions.taken` has it."""
    many = graph.node("Cast", n_cells, to=TensorProto.DOUBLE)
    share = graph.node("Ceil", graph.node("Mul", many, graph.constant(options.share, np.float64)))
    wanted = graph.node("Max", share, graph.constant([options.k], np.float64))
    return graph.node("Cast", graph.node("Min", many, wanted), to=TensorProto.INT64)
