"""The mathematics of scikit-learn's classifiers and scalers, in ONNX operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC

from export.coupling import SMALLEST_PROBABILITY, add_coupling, class_pairs
from export.graph import GraphBuilder


@dataclass(frozen=True, kw_only=True)
class SupportVectors:
    """A fitted SVC's decision function: kernel(x, vectors) @ weights + intercepts.

    vectors: float64 (S, D).
    weights: float64 (S, P), one column per pair of classes, zero where the vector is of neither.
    intercepts: float64 (P,).

    Signs are those of scikit-learn's `decision_function` (`ovo`): with two classes, positive means
    the second; with more, the first of the pair.
    """

    vectors: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray


def support_vectors(svc: SVC) -> SupportVectors:
    """The decision function of a fitted SVC, its dual coefficients arranged by pairs of classes."""
    starts = np.concatenate([[0], np.cumsum(svc.n_support_)])
    pairs = class_pairs(len(svc.classes_))
    weights = np.zeros((len(svc.support_vectors_), len(pairs)))
    for pair, (i, j) in enumerate(pairs):
        of_i, of_j = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
        weights[of_i, pair] = svc.dual_coef_[j - 1, of_i]
        weights[of_j, pair] = svc.dual_coef_[i, of_j]
    return SupportVectors(vectors=svc.support_vectors_, weights=weights, intercepts=svc.intercept_)


def add_decisions(graph: GraphBuilder, svc: SVC, features: str, accumulate: type) -> str:
    """Name of the decision values (A, P), of type `accumulate`.

    With thousands of vectors and large coefficients, a float32 sum over them moves single draws by
    4e-3, so the head sums in float64. For the fused graph, which sums in float32, vectors of both
    signs alternate, which keeps the partial sums small.
    """
    machine = support_vectors(svc)
    intercepts = graph.constant(machine.intercepts, accumulate)
    if svc.kernel == "linear":
        slopes = graph.constant(machine.vectors.T @ machine.weights, accumulate)
        wide = _add_cast(graph, features, accumulate)
        return graph.node("Add", graph.node("MatMul", wide, slopes), intercepts)
    order = _alternating_order(svc.n_support_)
    kernel = _add_rbf_kernel(graph, features, machine.vectors[order], svc._gamma)
    if accumulate is not np.float32:
        kernel = _add_cast(graph, kernel, accumulate)
    weights = graph.constant(machine.weights[order], accumulate)
    return graph.node("Add", graph.node("MatMul", kernel, weights), intercepts)


def _add_rbf_kernel(graph: GraphBuilder, features: str, vectors: np.ndarray, gamma: float) -> str:
    """Name of exp(-gamma |x - s|^2), float32 (A, S).

    The square is expanded only after centring, without which its terms would cancel.
    """
    centre = vectors.mean(axis=0).astype(np.float32)
    centred = (vectors - centre).astype(np.float32)
    x = graph.node("Sub", features, graph.constant(centre))
    cross = graph.node("MatMul", x, graph.constant(centred.T * np.float32(2)))
    x_squared = graph.node("ReduceSum", graph.node("Mul", x, x), graph.columns(1), keepdims=1)
    vectors_squared = graph.constant((centred.astype(np.float64) ** 2).sum(axis=1), np.float32)
    distance = graph.node("Sub", graph.node("Add", x_squared, vectors_squared), cross)
    distance = graph.node("Max", distance, graph.constant(0, np.float32))
    return graph.node("Exp", graph.node("Mul", distance, graph.constant(-gamma, np.float32)))


def _alternating_order(n_support: Sequence[int]) -> np.ndarray:
    """An order in which the vectors, stored class by class, alternate evenly between classes."""
    place = np.concatenate([(np.arange(n) + 0.5) / n for n in n_support])
    return np.argsort(place, kind="stable")


def add_platt_coupling(graph: GraphBuilder, svc: SVC, decisions: str, accumulate: type) -> str:
    """Name of the probabilities (A, C) of `SVC.predict_proba`: Platt's sigmoids, then coupling."""
    n_classes = len(svc.classes_)
    slope = -svc._probA if n_classes > 2 else svc._probA
    logits = graph.node("Mul", decisions, graph.constant(slope, accumulate))
    logits = graph.node("Sub", logits, graph.constant(svc._probB, accumulate))
    pairwise = graph.node("Sigmoid", logits)
    pairwise = graph.node("Max", pairwise, graph.constant(SMALLEST_PROBABILITY, accumulate))
    pairwise = graph.node("Min", pairwise, graph.constant(1 - SMALLEST_PROBABILITY, accumulate))
    return add_coupling(graph, pairwise, n_classes, accumulate)


def add_one_vs_rest(graph: GraphBuilder, decisions: str, n_classes: int, accumulate: type) -> str:
    """Name of `SVC.decision_function`'s `ovr` values (A, C) from the pairs' (A, P), C > 2.

    Votes, plus the squashed sum of confidences as a tie-break that stays under a third of a vote.
    """
    signs = pair_signs(n_classes).T
    signs_name = graph.constant(signs, accumulate)
    confidence = graph.node("MatMul", decisions, signs_name)
    first_wins = graph.node("GreaterOrEqual", decisions, graph.constant(0, accumulate))
    first_wins = _add_cast(graph, first_wins, accumulate)
    votes = graph.node("MatMul", first_wins, signs_name)
    votes = graph.node("Add", votes, graph.constant((signs < 0).sum(axis=0), accumulate))
    size = graph.node("Add", graph.node("Abs", confidence), graph.constant(1, accumulate))
    squashed = graph.node("Div", confidence, graph.node("Mul", size, graph.constant(3, accumulate)))
    return graph.node("Add", votes, squashed)


def add_calibration(
    graph: GraphBuilder, model: CalibratedClassifierCV, decisions: Sequence[str], accumulate: type
) -> str:
    """Name of the probabilities (A, C) of `CalibratedClassifierCV.predict_proba`, sigmoid method.

    Args:
        decisions: the SVC's decision values (A, P) per calibrated classifier.
    """
    n_classes = len(model.classes_)
    members = [
        _add_calibrated(graph, member, values, n_classes, accumulate)
        for member, values in zip(model.calibrated_classifiers_, decisions, strict=True)
    ]
    return add_mean(graph, members, accumulate)


def _add_calibrated(
    graph: GraphBuilder, member: Any, decisions: str, n_classes: int, accumulate: type
) -> str:
    slopes = graph.constant([-c.a_ for c in member.calibrators], accumulate)
    offsets = graph.constant([c.b_ for c in member.calibrators], accumulate)
    values = decisions
    if n_classes > 2:
        values = add_one_vs_rest(graph, decisions, n_classes, accumulate)
    shifted = graph.node("Sub", graph.node("Mul", values, slopes), offsets)
    probabilities = graph.node("Sigmoid", shifted)
    if n_classes == 2:
        others = graph.node("Sub", graph.constant(1, accumulate), probabilities)
        return graph.node("Concat", others, probabilities, axis=1)
    total = graph.node("ReduceSum", probabilities, graph.columns(1), keepdims=1)
    uniform = graph.constant(1 / n_classes, accumulate)
    empty = graph.node("Equal", total, graph.constant(0, accumulate))
    return graph.node("Where", empty, uniform, graph.node("Div", probabilities, total))


def pair_signs(n_classes: int) -> np.ndarray:
    """The matrix from classes to pairs, float64 (C, P): 1 for a pair's first, -1 for its second."""
    pairs = class_pairs(n_classes)
    signs = np.zeros((n_classes, len(pairs)))
    for pair, (i, j) in enumerate(pairs):
        signs[i, pair], signs[j, pair] = 1, -1
    return signs


def add_regression(
    graph: GraphBuilder, model: LogisticRegression, features: str, accumulate: type
) -> list[str]:
    """Names of the probabilities (A, C) and of the decision values (A, P) of a regression.

    A pair's value is the logit of its first class less that of its second; with two classes it is
    that of the second, as an SVC's is.
    """
    wide = _add_cast(graph, features, accumulate)
    logits = graph.node("MatMul", wide, graph.constant(model.coef_.T, accumulate))
    logits = graph.node("Add", logits, graph.constant(model.intercept_, accumulate))
    if len(model.classes_) > 2:
        signs = graph.constant(pair_signs(len(model.classes_)), accumulate)
        return [graph.node("Softmax", logits, axis=1), graph.node("MatMul", logits, signs)]
    second = graph.node("Sigmoid", logits)
    first = graph.node("Sigmoid", graph.node("Neg", logits))
    return [graph.node("Concat", first, second, axis=1), logits]


def _add_cast(graph: GraphBuilder, name: str, dtype: type) -> str:
    return graph.node("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def add_mean(graph: GraphBuilder, members: Sequence[str], accumulate: type) -> str:
    if len(members) == 1:
        return members[0]
    total = graph.node("Sum", *members)
    return graph.node("Mul", total, graph.constant(1 / len(members), accumulate))


def add_normalizer(graph: GraphBuilder, normalizer: Normalizer, features: str) -> str:
    """Name of the features (A, D) of `Normalizer.transform`; a row of zeros stays zero."""
    axis = graph.columns(1)
    if normalizer.norm == "max":
        norm = graph.node("ReduceMax", graph.node("Abs", features), axis, keepdims=1)
    else:
        norm = graph.node(f"Reduce{normalizer.norm.upper()}", features, axis, keepdims=1)
    zero = graph.node("Equal", norm, graph.constant(0, np.float32))
    norm = graph.node("Where", zero, graph.constant(1, np.float32), norm)
    return graph.node("Div", features, norm)


def add_scaler(graph: GraphBuilder, scaler: StandardScaler, features: str) -> str:
    """Name of the features (A, D) of `StandardScaler.transform`."""
    if scaler.with_mean:
        features = graph.node("Sub", features, graph.constant(scaler.mean_, np.float32))
    if scaler.with_std:
        features = graph.node("Div", features, graph.constant(scaler.scale_, np.float32))
    return features
