"""Proves that a head of medians gives what NumPy and scikit-learn give."""

import copy
import warnings
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from onnx import ModelProto
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from export.classifier import Classifier, stock_onnx_from_classifier
from export.comparing import ParityError, compared, largest
from export.coupling import SMALLEST_PROBABILITY, couple, unrolled_iterations
from export.execution import run_graph
from export.graph import between
from export.svm import pair_signs
from vexas_edge.bundle.contract import (
    AGGREGATES,
    DECISIONS,
    DRAWS,
    ENCODINGS,
    FEATURES,
    PROBABILITIES,
)
from vexas_edge.bundle.models import LabelRule
from vexas_edge.scoring.figures.labels import label_indices

_DECISION_TOLERANCE = 1e-4  # as a share of the largest decision value
_PROBABILITY_TOLERANCE = 1e-5
_SHARE_OF_JUMPS = 1e-3


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
        AGGREGATES: compared(AGGREGATES, outputs[AGGREGATES], aggregates, 0.0)
    }
    decisions = reference_decisions(classifier, aggregates)
    probabilities = classifier.predict_proba(aggregates.astype(np.float64))
    scale = float(np.abs(decisions).max())
    measured[DECISIONS] = compared(
        DECISIONS, outputs[DECISIONS], decisions, _DECISION_TOLERANCE * scale
    )
    # A correct classifier may have 0.1 % of its draws at the threshold.
    apart = np.abs(outputs[PROBABILITIES] - probabilities).max(axis=1) > _PROBABILITY_TOLERANCE
    jumps = apart & _draws_at_threshold(classifier, decisions)
    measured[PROBABILITIES] = compared(
        PROBABILITIES,
        outputs[PROBABILITIES][~jumps],
        probabilities[~jumps],
        _PROBABILITY_TOLERANCE,
    )
    measured["draws_that_jumped"] = int(jumps.sum())
    if jumps.mean() > _SHARE_OF_JUMPS:
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
    if isinstance(classifier, LogisticRegression):
        logits = classifier.decision_function(features.astype(np.float64))
        return logits[:, None] if logits.ndim == 1 else logits @ pair_signs(logits.shape[1])
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
    stable: np.ndarray,
) -> int:
    """How many labels differ from scikit-learn's under either rule, which must be none.

    Args:
        stable: whether a draw did not jump, bool (A,).

    Raises:
        ParityError: a label differs.
    """
    flips = 0
    for rule in get_args(LabelRule):
        ours = label_indices(outputs[DECISIONS], outputs[PROBABILITIES], rule)
        flips += int((ours != label_indices(decisions, probabilities, rule))[stable].sum())
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
    return largest(outputs[PROBABILITIES], probabilities)
