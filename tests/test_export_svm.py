"""Sums over thousands of support vectors keep their digits, in the head and in the fused graph."""

import warnings

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from sklearn.svm import SVC

from export.classifier import onnx_from_classifier
from export.classifier_parity import reference_decisions
from export.fuse import head_graph
from export.heads import MedianHead
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")

WIDTH = 16


@pytest.fixture(scope="module", params=[0.0, 100.0], ids=["centred", "far from zero"])
def many_vectors(request: pytest.FixtureRequest) -> tuple[SVC, np.ndarray]:
    """An SVC that had to keep nearly all of 2,500 samples, and 1,000 features to judge."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(2500, WIDTH)) + request.param).astype(np.float32)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        svc = SVC(C=1, probability=True, random_state=0).fit(x, rng.integers(0, 2, 2500))
    assert len(svc.support_vectors_) > 2000
    assert np.abs(svc.dual_coef_).sum() > 2000
    return svc, (rng.normal(size=(1000, WIDTH)) + request.param).astype(np.float32)


def decisions(model: ModelProto, features: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["decisions"], {"features": features})[0]


@pytest.mark.parametrize("accumulate", [np.float64, np.float32])
def test_decision_values_of_thousands_of_vectors_are_scikit_learns(
    accumulate: type, many_vectors: tuple[SVC, np.ndarray]
) -> None:
    # In the order that scikit-learn stores them, float32 sums are off by more than 1e-4; without
    # centring, far from zero, the kernel itself is off by 1e-2.
    svc, features = many_vectors
    found = decisions(onnx_from_classifier(svc, WIDTH, accumulate), features)
    assert np.abs(found - reference_decisions(svc, features)).max() < 3e-5


def test_the_head_sums_in_float64(many_vectors: tuple[SVC, np.ndarray]) -> None:
    svc, _ = many_vectors
    head = head_graph(MedianHead(classifier=svc, draw_size=3))
    types = {tuple(t.dims): t.data_type for t in head.graph.initializer}
    n_vectors = len(svc.support_vectors_)
    assert types[WIDTH, n_vectors] == TensorProto.FLOAT
    assert types[n_vectors, 1] == TensorProto.DOUBLE
