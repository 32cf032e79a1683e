"""Proves, step by step and on real cells, that the export has not changed a model's numbers.

The fused graph's encoder is compared with torch or the encoder's own file, the head with
scikit-learn, and the fused graph with the head. Inner tensors are compared in the order in which
they are computed, so the first one that differs shows which step is wrong.
"""

import copy
import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from onnx import ModelProto
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from export.classifier import Classifier, stock_onnx_from_classifier
from export.coupling import SMALLEST_PROBABILITY, couple, unrolled_iterations
from export.encodings import encoding_tolerance, l2_normalised, mean_pairwise_cosine
from export.execution import run_graph, session_from
from export.graph import between
from export.preprocessing import Preprocessing, pixels_from_cells
from vexas_edge.bundle.contract import (
    AGGREGATES,
    CELLS,
    DECISIONS,
    DRAWS,
    EMBEDDING,
    ENCODINGS,
    FEATURES,
    PIXELS,
    PROBABILITIES,
)
from vexas_edge.bundle.manifest import EncodingKind, LabelRule
from vexas_edge.errors import BundleError
from vexas_edge.scoring.draws import draw_cells
from vexas_edge.scoring.figures.labels import label_indices

# Above this mean pairwise cosine, cells look so alike that their agreement shows little.
ALIKE = 0.99

PIXEL_TOLERANCE = 1e-3  # in units of a pixel, 0 to 255
EMBEDDING_TOLERANCE = 1e-3  # as a share of the largest element
DECISION_TOLERANCE = 1e-4  # as a share of the largest decision value
PROBABILITY_TOLERANCE = 1e-5
FUSED_SCORE_TOLERANCE = 1e-3
SHARE_OF_JUMPS = 1e-3

_DRAWS = 1000
_CELLS_PER_CALL = 8


class ParityError(BundleError):
    """A step of the export changed the model's numbers."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The figures measured on each graph, by name: largest differences unless the name differs."""

    fused: dict[str, Any]
    head: dict[str, Any]


def check_parity(
    fused: ModelProto,
    head: ModelProto,
    *,
    cells: np.ndarray,
    preprocessing: Preprocessing,
    encoding: EncodingKind,
    reference: Callable[[np.ndarray], np.ndarray],
    classifier: Classifier,
) -> Parity:
    """Compare every step on these cells, uint8 (N, H, W, 3), at least two of them distinct.

    Returns the largest differences.

    Raises:
        ParityError: a tensor differs by more than its tolerance; the first one is named.
    """
    draws = _draws_of(cells, head)
    traced = _trace(fused, cells, draws)
    pixels = pixels_from_cells(cells, preprocessing)
    of_encoder = encoder_parity(traced, pixels, reference, encoding)
    of_head, outputs = classifier_parity(head, traced[ENCODINGS], draws, classifier)
    of_fused = {
        "score_beside_head": _compare(
            "fused probabilities",
            traced[PROBABILITIES].mean(axis=0),
            outputs[PROBABILITIES].mean(axis=0),
            FUSED_SCORE_TOLERANCE,
        ),
        "draw_beside_head": _largest(traced[PROBABILITIES], outputs[PROBABILITIES]),
    }
    return Parity(fused={**of_encoder, **of_fused, "cells": len(cells)}, head=of_head)


def encoder_parity(
    traced: Mapping[str, np.ndarray],
    pixels: np.ndarray,
    reference: Callable[[np.ndarray], np.ndarray],
    encoding: EncodingKind,
) -> dict[str, float]:
    """Differences of the fused graph's pixels, embedding and encodings from NumPy and the source.

    Raises:
        ParityError: a tensor differs by more than its tolerance.
    """
    embedding = reference(pixels)
    normalised = l2_normalised(embedding)
    encodings = normalised if encoding == "l2" else embedding
    largest = float(np.abs(embedding).max())
    allowed = encoding_tolerance(normalised)
    if encoding == "raw":
        allowed *= float(np.linalg.norm(embedding, axis=1).max())
    return {
        PIXELS: _compare(PIXELS, traced[PIXELS], pixels, PIXEL_TOLERANCE),
        EMBEDDING: _compare(EMBEDDING, traced[EMBEDDING], embedding, EMBEDDING_TOLERANCE * largest),
        ENCODINGS: _compare(ENCODINGS, traced[ENCODINGS], encodings, allowed),
        "encodings_allowed": _rounded(allowed),
        "mean_pairwise_cosine": _rounded(mean_pairwise_cosine(normalised)),
    }


def classifier_parity(
    head: ModelProto, encodings: np.ndarray, draws: np.ndarray, classifier: Classifier
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The head's differences from NumPy's median and scikit-learn's classifier, and its outputs.

    A draw whose probabilities jump at the stopping threshold of libsvm's coupling is counted
    instead of compared.

    Raises:
        ParityError: a tensor differs, a label flips, or too many draws jumped.
    """
    names = [AGGREGATES, DECISIONS, PROBABILITIES]
    inputs = [value.name for value in head.graph.input]
    outputs = run_graph(between(head, inputs, names), {ENCODINGS: encodings, DRAWS: draws})
    aggregates = np.median(encodings[draws], axis=1)
    measured: dict[str, Any] = {
        AGGREGATES: _compare(AGGREGATES, outputs[AGGREGATES], aggregates, 0.0)
    }
    decisions = reference_decisions(classifier, aggregates)
    probabilities = classifier.predict_proba(aggregates.astype(np.float64))
    largest = float(np.abs(decisions).max())
    measured[DECISIONS] = _compare(
        DECISIONS, outputs[DECISIONS], decisions, DECISION_TOLERANCE * largest
    )
    # A correct classifier may have 0.1 % of its draws at the threshold.
    apart = np.abs(outputs[PROBABILITIES] - probabilities).max(axis=1) > PROBABILITY_TOLERANCE
    jumps = apart & _draws_at_threshold(classifier, decisions)
    measured[PROBABILITIES] = _compare(
        PROBABILITIES,
        outputs[PROBABILITIES][~jumps],
        probabilities[~jumps],
        PROBABILITY_TOLERANCE,
    )
    measured["draws_that_jumped"] = int(jumps.sum())
    if jumps.mean() > SHARE_OF_JUMPS:
        raise ParityError(f"{jumps.sum()} of {len(jumps)} draws jumped at libsvm's threshold")
    measured["label_flips"] = _label_flips(outputs, decisions, probabilities, ~jumps)
    measured["stock_skl2onnx"] = _stock_difference(classifier, aggregates, probabilities)
    return measured, outputs


def reference_decisions(classifier: Classifier, features: np.ndarray) -> np.ndarray:
    """scikit-learn's decision values per pair of classes, float64 (A, P)."""
    if isinstance(classifier, Pipeline):
        return reference_decisions(
            classifier.steps[-1][1], classifier[:-1].transform(features.astype(np.float64))
        )
    if isinstance(classifier, CalibratedClassifierCV):
        members = [
            reference_decisions(member.estimator, features)
            for member in classifier.calibrated_classifiers_
        ]
        return np.mean(members, axis=0)
    pairwise = copy.copy(classifier).set_params(decision_function_shape="ovo")
    return pairwise.decision_function(features.astype(np.float64)).reshape(len(features), -1)


def _draws_at_threshold(classifier: Classifier, decisions: np.ndarray) -> np.ndarray:
    """Which draws may fall on either side of the coupling's stopping threshold, bool (A,)."""
    svc = classifier.steps[-1][1] if isinstance(classifier, Pipeline) else classifier
    if not isinstance(svc, SVC):
        return np.zeros(len(decisions), bool)
    n_classes = len(svc.classes_)
    libsvm = -decisions if n_classes == 2 else decisions
    pairwise = 1 / (1 + np.exp(svc._probA * libsvm + svc._probB))
    pairwise = np.clip(pairwise, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    _, iterations, at_threshold = couple(pairwise, n_classes)
    if iterations.max() > unrolled_iterations(n_classes):
        raise ParityError(
            f"probabilities: libsvm's coupling took {iterations.max()} iterations, "
            f"the graph has {unrolled_iterations(n_classes)}"
        )
    return at_threshold


def _label_flips(
    outputs: Mapping[str, np.ndarray],
    decisions: np.ndarray,
    probabilities: np.ndarray,
    compared: np.ndarray,
) -> int:
    """How many labels differ from scikit-learn's under either rule, which must be none.

    Raises:
        ParityError: a label differs.
    """
    flips = 0
    for rule in get_args(LabelRule):
        ours = label_indices(outputs[DECISIONS], outputs[PROBABILITIES], rule)
        flips += int((ours != label_indices(decisions, probabilities, rule))[compared].sum())
    if flips:
        raise ParityError(f"labels: {flips} differ from scikit-learn's")
    return flips


def _stock_difference(
    classifier: Classifier, aggregates: np.ndarray, probabilities: np.ndarray
) -> float | str:
    """How far skl2onnx's own graph is from scikit-learn; only recorded, as it does not ship."""
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            stock = stock_onnx_from_classifier(classifier, aggregates.shape[1])
        outputs = run_graph(stock, {FEATURES: aggregates})
    except Exception as error:  # noqa: BLE001 - it may raise anything, and is only recorded
        return f"could not be had: {type(error).__name__}"
    return _largest(outputs[PROBABILITIES], probabilities)


def _draws_of(cells: np.ndarray, head: ModelProto) -> np.ndarray:
    draw_size = head.graph.input[1].type.tensor_type.shape.dim[1].dim_value
    identities = [hashlib.sha256(cell.tobytes()).digest() for cell in cells]
    return draw_cells(identities, _DRAWS, draw_size, seed=0)


def _trace(fused: ModelProto, cells: np.ndarray, draws: np.ndarray) -> dict[str, np.ndarray]:
    """Inner tensors of the fused graph for all cells, run in batches as scoring does."""
    encoder = session_from(between(fused, [CELLS], [PIXELS, EMBEDDING, ENCODINGS]))
    parts = [
        encoder.run(None, {CELLS: cells[i : i + _CELLS_PER_CALL]})
        for i in range(0, len(cells), _CELLS_PER_CALL)
    ]
    names = [output.name for output in encoder.get_outputs()]
    traced = {
        name: np.concatenate(p) for name, p in zip(names, zip(*parts, strict=True), strict=True)
    }
    beside = [value.name for value in fused.graph.input[1:]]
    tail = between(fused, [ENCODINGS, *beside], [PROBABILITIES])
    return {**traced, **run_graph(tail, {ENCODINGS: traced[ENCODINGS], DRAWS: draws})}


def _compare(name: str, found: np.ndarray, expected: np.ndarray, allowed: float) -> float:
    if found.shape != expected.shape:
        raise ParityError(f"{name}: shape {found.shape}, expected {expected.shape}")
    difference = _largest(found, expected)
    if not difference <= allowed:
        raise ParityError(
            f"parity: {name} is the first tensor that diverges: it differs by {difference:.2e}, "
            f"allowed is {allowed:.2e}"
        )
    return difference


def _largest(found: np.ndarray, expected: np.ndarray) -> float:
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    return _rounded(difference.max()) if difference.size else 0.0


def _rounded(value: float) -> float:
    """The value in three significant digits, all that a measured difference is good for."""
    return float(f"{value:.2e}")
