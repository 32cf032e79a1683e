"""Converts a fitted scikit-learn classifier to ONNX, by skl2onnx with converters of ours.

skl2onnx walks through pipelines and converts PCA itself. `OWN_CONVERTERS` are converted by
`export.svm`, because skl2onnx's converters are inexact, slow or use operators that not every engine
has. skl2onnx's unchanged graph is compared as a second opinion (`export.parity`).
"""

from collections.abc import Callable
from copy import copy
from typing import Any, TypeAlias

import numpy as np
from onnx import ModelProto
from skl2onnx import convert_sklearn
from skl2onnx._parse import _parse_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC

from export.graph import OPSET, GraphBuilder, standard_model
from export.svm import (
    add_calibration,
    add_decisions,
    add_mean,
    add_normalizer,
    add_platt_coupling,
    add_regression,
    add_scaler,
)
from vexas_edge.bundle.contract import DECISIONS, FEATURES, PROBABILITIES, n_decisions
from vexas_edge.bundle.models import LabelRule
from vexas_edge.errors import InputError

KERNELS = ("rbf", "linear")
TRANSFORMERS = (Normalizer, StandardScaler, PCA)
OWN_CONVERTERS = (SVC, CalibratedClassifierCV, LogisticRegression, Normalizer, StandardScaler)

Classifier: TypeAlias = SVC | CalibratedClassifierCV | LogisticRegression | Pipeline


def onnx_from_classifier(classifier: Classifier, n_features: int, accumulate: type) -> ModelProto:
    """The graph from `features` float32 (A, D) to `probabilities` (A, C) and `decisions` (A, P).

    Args:
        accumulate: numpy.float64 or numpy.float32, the type of the sum over support vectors and of
            both outputs.

    Raises:
        InputError: the classifier is of a kind that is not supported; the message says what is.
    """
    check_supported(classifier, n_features)
    vector = DoubleTensorType if accumulate is np.float64 else FloatTensorType
    model = convert_sklearn(
        classifier,
        "classifier",
        initial_types=[(FEATURES, FloatTensorType([None, n_features]))],
        target_opset=OPSET,
        custom_conversion_functions={kind: _converter(accumulate) for kind in OWN_CONVERTERS},
        custom_shape_calculators=dict.fromkeys(OWN_CONVERTERS, _shapes_are_declared),
        custom_parsers=_parsers(vector),
        options={"zipmap": False},
    )
    return standard_model(model, "the converted classifier")


def stock_onnx_from_classifier(classifier: Classifier, n_features: int) -> ModelProto:
    """skl2onnx's own conversion: outputs label (A,) and probabilities (A, C)."""
    return convert_sklearn(
        classifier,
        "stock",
        initial_types=[(FEATURES, FloatTensorType([None, n_features]))],
        target_opset={"": OPSET, "ai.onnx.ml": 3},
        options={"zipmap": False},
    )


def unfrozen(classifier: Any) -> Any:
    """The same fitted classifier without the `FrozenEstimator`s in it; the given one is unchanged.

    They keep what they hold from being fitted again, and otherwise do what it does.
    """
    if isinstance(classifier, FrozenEstimator):
        return unfrozen(classifier.estimator)
    if isinstance(classifier, Pipeline):
        return Pipeline([(name, unfrozen(step)) for name, step in classifier.steps])
    if hasattr(classifier, "calibrated_classifiers_"):
        same = copy(classifier)
        members = classifier.calibrated_classifiers_
        same.calibrated_classifiers_ = [_with_unfrozen(member) for member in members]
        return same
    return classifier


def _with_unfrozen(member: Any) -> Any:
    same = copy(member)
    same.estimator = unfrozen(member.estimator)
    return same


def support_vector_machines(classifier: Classifier) -> list[SVC]:
    """Every SVC inside the classifier: one, or one per calibrated fold; none in a regression."""
    last = classifier.steps[-1][1] if isinstance(classifier, Pipeline) else classifier
    if isinstance(last, CalibratedClassifierCV):
        members = getattr(last, "calibrated_classifiers_", [])  # none before it is fitted
        return [svc for member in members for svc in support_vector_machines(member.estimator)]
    return [last] if isinstance(last, SVC) else []


def own_label_rule(classifier: Classifier) -> LabelRule:
    """The rule by which the classifier's own `predict` chooses a label."""
    last = classifier.steps[-1][1] if isinstance(classifier, Pipeline) else classifier
    return "votes" if isinstance(last, SVC) else "argmax"


def check_supported(classifier: Classifier, n_features: int) -> None:
    """Check that the export can convert this classifier exactly.

    Raises:
        InputError: it cannot; the message names the part and the remedy.
    """
    _check_classifier(classifier)
    if not hasattr(classifier, "classes_"):
        raise InputError("the classifier is not fitted")
    if classifier.n_features_in_ != n_features:
        raise InputError(
            f"the classifier was fitted on {classifier.n_features_in_} features, "
            f"the encoder returns {n_features}"
        )
    last = classifier.steps[-1][1] if isinstance(classifier, Pipeline) else classifier
    if isinstance(last, SVC) and not hasattr(last, "_probA"):
        raise InputError(_WITHOUT_PROBABILITIES)
    if isinstance(last, SVC) and not len(last._probA):
        raise InputError(_WITHOUT_PROBABILITIES)


_WITHOUT_PROBABILITIES = (
    "the SVC was fitted without probabilities: "
    "fit CalibratedClassifierCV(SVC(...), method='sigmoid', ensemble=False) instead"
)


def _check_classifier(step: Any) -> None:
    if isinstance(step, Pipeline):
        for name, transformer in step.steps[:-1]:
            if not isinstance(transformer, TRANSFORMERS):
                raise InputError(
                    f"pipeline step {name!r} is a {type(transformer).__name__}; "
                    "Normalizer, StandardScaler and PCA are supported"
                )
        _check_classifier(step.steps[-1][1])
    elif isinstance(step, CalibratedClassifierCV):
        _check_calibration(step)
    elif isinstance(step, LogisticRegression):
        _check_regression(step)
    elif not isinstance(step, SVC):
        raise InputError(
            f"a classifier of kind {type(step).__name__} is not supported; use SVC, "
            "CalibratedClassifierCV(SVC, method='sigmoid'), LogisticRegression, or a Pipeline of "
            "Normalizer, StandardScaler or PCA before one of them"
        )
    elif step.break_ties:
        raise InputError(
            "SVC(break_ties=True) is not supported, as its labels follow a rule of their own; fit "
            "it without break_ties"
        )
    elif getattr(step, "_sparse", False):
        raise InputError("an SVC fitted on a sparse matrix is not supported; fit it on an array")
    elif step.kernel not in KERNELS:
        raise InputError(
            f"an SVC with kernel {step.kernel!r} is not supported; {' and '.join(KERNELS)} are"
        )


def _check_regression(model: LogisticRegression) -> None:
    if model.solver == "liblinear" and len(getattr(model, "classes_", ())) > 2:
        raise InputError(
            "a LogisticRegression fitted by liblinear on more than two classes is not supported, "
            "as it is one for each class; fit it with the solver 'lbfgs'"
        )


def _check_calibration(model: CalibratedClassifierCV) -> None:
    if model.method != "sigmoid":
        raise InputError(
            f"calibration by {model.method!r} is not supported; use method='sigmoid' "
            "(isotonic steps and temperatures are not exported)"
        )
    for member in getattr(model, "calibrated_classifiers_", []):
        if isinstance(member.estimator, LogisticRegression):
            raise InputError(
                "a calibrated LogisticRegression is not supported; its own probabilities are"
            )
        _check_classifier(member.estimator)
        if not np.array_equal(member.estimator.classes_, model.classes_):
            raise InputError("a calibration fold did not see every class; fit with fewer folds")
    for svc in support_vector_machines(model):
        if len(svc.classes_) > 2 and svc.decision_function_shape != "ovr":
            raise InputError("a calibrated SVC needs decision_function_shape='ovr'")


def _parsers(vector: type) -> dict[type, Callable[..., list[Any]]]:
    """skl2onnx parsers that declare the inputs and outputs of our converters, by class."""

    def parse_svc(scope: Any, svc: SVC, inputs: list[Any], **_: Any) -> list[Any]:
        operator = scope.declare_local_operator("SVC", svc)
        operator.inputs.extend(inputs)
        return _declare_outputs(scope, operator, svc, bool(len(svc._probA)), vector)

    def parse_calibrated(
        scope: Any, model: CalibratedClassifierCV, inputs: list[Any], custom_parsers: Any = None
    ) -> list[Any]:
        operator = scope.declare_local_operator("CalibratedClassifierCV", model)
        for member in model.calibrated_classifiers_:
            outputs = _parse_sklearn(scope, member.estimator, inputs, custom_parsers)
            operator.inputs.append(outputs[-1])
        return _declare_outputs(scope, operator, model, True, vector)

    def parse_regression(
        scope: Any, model: LogisticRegression, inputs: list[Any], **_: Any
    ) -> list[Any]:
        operator = scope.declare_local_operator("LogisticRegression", model)
        operator.inputs.extend(inputs)
        return _declare_outputs(scope, operator, model, True, vector)

    return {
        SVC: parse_svc,
        CalibratedClassifierCV: parse_calibrated,
        LogisticRegression: parse_regression,
    }


def _declare_outputs(
    scope: Any, operator: Any, classifier: Any, has_probabilities: bool, vector: type
) -> list[Any]:
    """Declare and return the outputs: probabilities, if there are any, then decisions.

    The decisions come last, where `parse_calibrated` takes them from.
    """
    n_classes = len(classifier.classes_)
    widths = {PROBABILITIES: n_classes} if has_probabilities else {}
    widths[DECISIONS] = n_decisions(n_classes)
    for name, width in widths.items():
        operator.outputs.append(scope.declare_local_variable(name, vector([None, width])))
    return operator.outputs


def _shapes_are_declared(operator: Any) -> None:
    """Give a transformer's output its input's shape; parsers declare the shapes of the others."""
    if isinstance(operator.raw_operator, Normalizer | StandardScaler):
        operator.outputs[0].type = FloatTensorType(operator.inputs[0].type.shape)


def _converter(accumulate: type) -> Callable[..., None]:
    """A conversion function for skl2onnx that emits one operator's nodes."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        graph = GraphBuilder(scope.get_unique_operator_name("part") + "/")
        inputs = [variable.full_name for variable in operator.inputs]
        results = _results(graph, operator.raw_operator, inputs, accumulate)
        for result, variable in zip(results, operator.outputs, strict=True):
            graph.node("Identity", result, output=variable.full_name)
        container.initializers.extend(graph.initializers)
        container.nodes.extend(graph.nodes)

    return convert


def _results(graph: GraphBuilder, model: Any, inputs: list[str], accumulate: type) -> list[str]:
    if isinstance(model, Normalizer):
        return [add_normalizer(graph, model, inputs[0])]
    if isinstance(model, StandardScaler):
        return [add_scaler(graph, model, inputs[0])]
    if isinstance(model, CalibratedClassifierCV):
        probabilities = add_calibration(graph, model, inputs, accumulate)
        return [probabilities, add_mean(graph, inputs, accumulate)]
    if isinstance(model, LogisticRegression):
        return add_regression(graph, model, inputs[0], accumulate)
    decisions = add_decisions(graph, model, inputs[0], accumulate)
    if not len(model._probA):
        return [decisions]
    return [add_platt_coupling(graph, model, decisions, accumulate), decisions]
