"""Classifiers as ONNX, beside scikit-learn and beside an SVM written in NumPy; and the refusals."""

from typing import Any

import numpy as np
import pytest
from numpy_svm import decisions_by_numpy, probabilities_by_numpy
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import SVC

from export.classifier import check_supported, onnx_from_classifier, own_label_rule, unfrozen
from export.classifier_parity import classifier_parity, reference_decisions
from export.coupling import couple, unrolled_iterations
from export.fuse import head_graph
from export.heads import MedianHead
from vexas_edge.errors import InputError
from vexas_edge.host.libraries import load_library
from vexas_edge.scoring.figures.labels import label_indices

onnxruntime = load_library("onnxruntime")

WIDTH = 8
PROBABILITY_TOLERANCE = 1e-5
DECISION_TOLERANCE = 1e-4

pytestmark = pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")


def clouds(n_classes: int, n_each: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds, float32 (n, 8), and the class of each point."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes), n_each)
    centres = rng.normal(size=(n_classes, WIDTH))
    points = centres[labels] + rng.normal(size=(len(labels), WIDTH))
    return points.astype(np.float32), np.array([f"class {label}" for label in labels])


def svc(**options: Any) -> SVC:
    return SVC(**{"probability": True, "random_state": 0, **options})


def outputs_of(classifier: Any, features: np.ndarray, accumulate: type) -> dict[str, np.ndarray]:
    model = onnx_from_classifier(classifier, features.shape[1], accumulate)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = ["probabilities", "decisions"]
    return dict(zip(names, session.run(names, {"features": features}), strict=True))


def calibrated(estimator: Any, *, ensemble: bool = True) -> CalibratedClassifierCV:
    return CalibratedClassifierCV(estimator, method="sigmoid", ensemble=ensemble, cv=3)


@pytest.mark.parametrize(
    "classifier",
    [
        FrozenEstimator(svc().fit(*clouds(3))),
        FrozenEstimator(FrozenEstimator(svc().fit(*clouds(3)))),
        calibrated(FrozenEstimator(SVC().fit(*clouds(3)))).fit(*clouds(3, seed=1)),
        calibrated(FrozenEstimator(SVC().fit(*clouds(3))), ensemble=False).fit(*clouds(3, seed=1)),
        make_pipeline(
            FrozenEstimator(Normalizer().fit(clouds(3)[0])), FrozenEstimator(svc().fit(*clouds(3)))
        ),
        calibrated(FrozenEstimator(make_pipeline(StandardScaler(), svc()).fit(*clouds(3)))).fit(
            *clouds(3, seed=1)
        ),
    ],
)
def test_a_frozen_estimator_is_what_it_holds(classifier: Any) -> None:
    features, _ = clouds(3, seed=2)
    with pytest.raises(InputError, match="FrozenEstimator"):
        check_supported(classifier, WIDTH)
    found = outputs_of(unfrozen(classifier), features, np.float64)
    np.testing.assert_allclose(
        found["probabilities"], classifier.predict_proba(features), atol=PROBABILITY_TOLERANCE
    )
    assert "FrozenEstimator" in repr(classifier)  # the caller's own is as it was


@pytest.mark.parametrize("accumulate", [np.float64, np.float32])
@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_svc_is_the_svm_of_the_literature(n_classes: int, kernel: str, accumulate: type) -> None:
    classifier = svc(kernel=kernel).fit(*clouds(n_classes))
    features, _ = clouds(n_classes, seed=1)
    found = outputs_of(classifier, features, accumulate)
    pairs = decisions_by_numpy(classifier, features)
    probabilities = probabilities_by_numpy(classifier, pairs)
    signed = -pairs if n_classes == 2 else pairs
    assert found["decisions"].shape == (len(features), n_classes * (n_classes - 1) // 2)
    assert found["decisions"].dtype == found["probabilities"].dtype == accumulate
    assert np.abs(found["decisions"] - signed).max() < DECISION_TOLERANCE
    assert np.abs(found["probabilities"] - probabilities).max() < PROBABILITY_TOLERANCE
    assert np.abs(classifier.predict_proba(features) - probabilities).max() < 1e-12


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_both_label_rules_give_scikit_learns_labels(n_classes: int) -> None:
    classifier = svc().fit(*clouds(n_classes))
    features, _ = clouds(n_classes, n_each=200, seed=1)
    found = outputs_of(classifier, features, np.float64)
    votes = label_indices(found["decisions"], found["probabilities"], "votes")
    most_probable = label_indices(found["decisions"], found["probabilities"], "argmax")
    probabilities = classifier.predict_proba(features)
    assert (classifier.classes_[votes] == classifier.predict(features)).all()
    assert (most_probable == probabilities.argmax(axis=1)).all()


def transformed(name: str) -> Pipeline:
    steps = {
        "normalizer-l1": [Normalizer("l1")],
        "normalizer-l2": [Normalizer("l2")],
        "normalizer-max": [Normalizer("max")],
        "scaler": [StandardScaler()],
        "scaler-mean-only": [StandardScaler(with_std=False)],
        "scaler-std-only": [StandardScaler(with_mean=False)],
        "pca": [PCA(4, random_state=0)],
        "pca-whitened": [PCA(4, whiten=True, random_state=0)],
        "all": [Normalizer(), StandardScaler(), PCA(5, random_state=0)],
    }
    return make_pipeline(*steps[name], svc())


PIPELINES = (
    "normalizer-l1",
    "normalizer-l2",
    "normalizer-max",
    "scaler",
    "scaler-mean-only",
    "scaler-std-only",
    "pca",
    "pca-whitened",
    "all",
)


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline_gives_scikit_learns_probabilities(name: str) -> None:
    classifier = transformed(name).fit(*clouds(3))
    features, _ = clouds(3, seed=1)
    found = outputs_of(classifier, features, np.float64)
    expected = classifier.predict_proba(features.astype(np.float64))
    assert np.abs(found["probabilities"] - expected).max() < PROBABILITY_TOLERANCE
    decisions = reference_decisions(classifier, features)
    assert np.abs(found["decisions"] - decisions).max() < DECISION_TOLERANCE


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_calibrated_svc_gives_scikit_learns_probabilities(
    n_classes: int, ensemble: bool, scaled: bool
) -> None:
    inner = make_pipeline(StandardScaler(), SVC()) if scaled else SVC()
    classifier = CalibratedClassifierCV(inner, ensemble=ensemble, cv=3).fit(*clouds(n_classes))
    features, _ = clouds(n_classes, seed=1)
    found = outputs_of(classifier, features, np.float64)
    expected = classifier.predict_proba(features.astype(np.float64))
    assert np.abs(found["probabilities"] - expected).max() < PROBABILITY_TOLERANCE
    assert (found["probabilities"].argmax(axis=1) == expected.argmax(axis=1)).all()


def test_label_rule_is_that_of_the_classifiers_own_predict() -> None:
    points, labels = clouds(3)
    assert own_label_rule(svc().fit(points, labels)) == "votes"
    assert own_label_rule(make_pipeline(PCA(4), svc()).fit(points, labels)) == "votes"
    calibrated = CalibratedClassifierCV(SVC(), cv=2).fit(points, labels)
    assert own_label_rule(calibrated) == "argmax"


@pytest.mark.parametrize("accumulate", [np.float32, np.float64])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3, 12])
def test_regression_gives_scikit_learns_probabilities(
    n_classes: int, scaled: bool, accumulate: type
) -> None:
    regression = LogisticRegression(class_weight="balanced")
    classifier = make_pipeline(StandardScaler(), regression) if scaled else regression
    classifier.fit(*clouds(n_classes))
    features, _ = clouds(n_classes, seed=1)
    found = outputs_of(classifier, features, accumulate)
    expected = classifier.predict_proba(features.astype(np.float64))
    assert np.abs(found["probabilities"] - expected).max() < PROBABILITY_TOLERANCE
    decisions = reference_decisions(classifier, features)
    assert decisions.shape == (len(features), n_classes * (n_classes - 1) // 2)
    assert np.abs(found["decisions"] - decisions).max() < DECISION_TOLERANCE
    assert own_label_rule(classifier) == "argmax"


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_a_regressions_votes_are_its_own_labels(n_classes: int) -> None:
    classifier = LogisticRegression().fit(*clouds(n_classes))
    features, _ = clouds(n_classes, seed=1)
    found = outputs_of(classifier, features, np.float64)
    votes = label_indices(found["decisions"], found["probabilities"], "votes")
    assert (classifier.classes_[votes] == classifier.predict(features)).all()


def regressions_one_by_one() -> LogisticRegression:
    """As an older scikit-learn fitted it, which now refuses to."""
    return LogisticRegression().fit(*clouds(3)).set_params(solver="liblinear")


def fitted(classifier: Any) -> Any:
    return classifier.fit(*clouds(2))


REFUSALS = {
    "isotonic": (
        lambda: fitted(CalibratedClassifierCV(SVC(), method="isotonic", cv=2)),
        "calibration by 'isotonic' is not supported; use method='sigmoid'",
    ),
    "temperature": (
        lambda: fitted(CalibratedClassifierCV(SVC(), method="temperature", cv=2)),
        "calibration by 'temperature' is not supported; use method='sigmoid'",
    ),
    "polynomial kernel": (
        lambda: fitted(svc(kernel="poly")),
        "an SVC with kernel 'poly' is not supported; rbf and linear are",
    ),
    "gaussian": (
        lambda: fitted(GaussianNB()),
        "a classifier of kind GaussianNB is not supported; use SVC",
    ),
    "calibrated regression": (
        lambda: fitted(CalibratedClassifierCV(LogisticRegression(), cv=2)),
        "a calibrated LogisticRegression is not supported; its own probabilities are",
    ),
    "regressions one by one": (
        lambda: regressions_one_by_one(),
        "a LogisticRegression fitted by liblinear on more than two classes is not supported",
    ),
    "calibrated forest": (
        lambda: fitted(CalibratedClassifierCV(RandomForestClassifier(5), cv=2)),
        "a classifier of kind RandomForestClassifier is not supported",
    ),
    "other scaler": (
        lambda: fitted(make_pipeline(MinMaxScaler(), svc())),
        "pipeline step 'minmaxscaler' is a MinMaxScaler; Normalizer, StandardScaler and PCA",
    ),
    "no probabilities": (
        lambda: fitted(SVC()),
        "the SVC was fitted without probabilities: fit CalibratedClassifierCV",
    ),
    "unfitted": (svc, "the classifier is not fitted"),
    "unfitted pipeline": (lambda: make_pipeline(PCA(2), svc()), "the classifier is not fitted"),
    "unfitted calibration": (
        lambda: CalibratedClassifierCV(SVC()),
        "the classifier is not fitted",
    ),
    "a fold without a class": (
        lambda: without_a_class(fitted(CalibratedClassifierCV(SVC(), cv=2))),
        "a calibration fold did not see every class; fit with fewer folds",
    ),
}


def without_a_class(model: CalibratedClassifierCV) -> CalibratedClassifierCV:
    points, labels = clouds(3)
    model.calibrated_classifiers_[0].estimator = SVC().fit(points, labels)
    return model


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_exported_exactly_is_refused_by_name(case: str) -> None:
    make, message = REFUSALS[case]
    with pytest.raises(InputError) as refusal:
        check_supported(make(), WIDTH)
    assert str(refusal.value).startswith(message)


def test_classifier_of_another_encoder_is_refused() -> None:
    with pytest.raises(InputError, match="fitted on 8 features, the encoder returns 512"):
        check_supported(fitted(svc()), 512)


def test_draws_near_the_couplings_jump_do_not_refuse_an_export() -> None:
    """One parity run in four was refused for draws that lay near the jump and had not jumped."""
    classifier = fitted(svc(kernel="linear"))
    encodings = encodings_near_the_jump(classifier)
    draws = np.repeat(np.arange(len(encodings))[:, None], 3, axis=1)
    libsvm = -classifier.decision_function(encodings)[:, None]
    pairwise = 1 / (1 + np.exp(classifier._probA * libsvm + classifier._probB))
    assert couple(pairwise, 2)[2].all()
    head = head_graph(MedianHead(classifier=classifier, draw_size=3))
    measured, _ = classifier_parity(head, encodings, draws, classifier)
    assert measured["draws_that_jumped"] == 0
    assert measured["probabilities"] < PROBABILITY_TOLERANCE


def encodings_near_the_jump(classifier: SVC) -> np.ndarray:
    """Points float32 (100, 8) whose first residual lies 5e-6 over libsvm's threshold of 0.0025.

    For two classes and a pairwise probability r it is |(2r - 1) / 2| / 2 at the uniform start.
    """
    residual = np.full(100, 0.0025 + 5e-6)
    r = 0.5 + 2 * residual
    decision = -(np.log(1 / r - 1) - classifier._probB[0]) / classifier._probA[0]
    slope = classifier.coef_[0]
    along = np.random.default_rng(0).normal(size=(100, WIDTH))
    along -= np.outer(along @ slope, slope) / (slope @ slope)
    offset = (decision - classifier.intercept_[0]) / (slope @ slope)
    return (along + offset[:, None] * slope).astype(np.float32)


def test_two_classes_never_need_more_iterations_than_are_unrolled() -> None:
    tails = np.logspace(-7, -0.3, 20_001)
    pairwise = np.concatenate([np.linspace(1e-7, 1 - 1e-7, 200_001), tails, 1 - tails])
    _, iterations, _ = couple(pairwise[:, None], 2)
    assert iterations.max() == unrolled_iterations(2)
