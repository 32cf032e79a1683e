"""Heads from real encodings of leukocytes: scikit-learn's probabilities and labels, each draw."""

import csv
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from draw_parity import at_the_jump, check_draws
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC

from export.classifier_parity import reference_decisions
from export.fuse import head_graph
from export.heads import MedianHead
from vexas_edge.bundle.models import LabelRule
from vexas_edge.host.libraries import load_library
from vexas_edge.scoring.figures.labels import label_indices

onnxruntime = load_library("onnxruntime")

N_CLASSES = {"PN": 7, "LY": 4, "MO": 2}
N_DRAWS, DRAW_SIZE = 1000, 10

CLASSIFIERS = {
    "svc": lambda: SVC(probability=True, random_state=0),
    "calibrated": lambda: CalibratedClassifierCV(SVC(), ensemble=False, cv=5),
    "calibrated-ensemble": lambda: CalibratedClassifierCV(SVC(), ensemble=True, cv=5),
}

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning"),
]


def read_encodings(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """L2-normalised encodings float32 (n, D), and each cell's group."""
    raw = np.load(folder / "encoder_test_encodings.npy")
    with (folder / "encoder_test_metadata.csv").open(newline="") as stream:
        groups = np.array([row["GROUP"] for row in csv.DictReader(stream)])
    return raw / np.linalg.norm(raw, axis=1, keepdims=True), groups


def draws_within_groups(groups: np.ndarray) -> np.ndarray:
    """Draws int64 (1000, 10): half of one group's cells each, half of any cells."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    pure = [rng.choice(members[i % len(members)], DRAW_SIZE) for i in range(N_DRAWS // 2)]
    mixed = rng.integers(0, len(groups), (N_DRAWS - len(pure), DRAW_SIZE))
    return np.concatenate([pure, mixed])


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("cells", N_CLASSES)
def test_head_gives_scikit_learns_probabilities_and_labels(
    cells: str, kind: str, shared_data: Path
) -> None:
    encodings, groups = read_encodings(shared_data / "encodings" / cells)
    classifier = CLASSIFIERS[kind]().fit(encodings, groups)
    assert len(classifier.classes_) == N_CLASSES[cells]
    draws = draws_within_groups(groups)
    head = head_graph(MedianHead(classifier=classifier, draw_size=DRAW_SIZE))
    session = onnxruntime.InferenceSession(head.SerializeToString())
    feeds = {"encodings": encodings, "draws": draws}
    probabilities, decisions = session.run(["probabilities", "decisions"], feeds)
    aggregates = np.median(encodings[draws], axis=1).astype(np.float64)
    expected = classifier.predict_proba(aggregates)
    pairs = reference_decisions(classifier, aggregates)
    check_draws(probabilities, expected, at_the_jump(classifier, pairs))
    for rule in get_args(LabelRule):
        ours = label_indices(decisions, probabilities, rule)
        assert (ours == label_indices(pairs, expected, rule)).all()
    assert (classifier.predict(aggregates) == own_labels(classifier, pairs, expected)).all()


def own_labels(classifier: Any, pairs: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Labels by the rule that the classifier's own `predict` follows."""
    rule: LabelRule = "votes" if isinstance(classifier, SVC) else "argmax"
    return classifier.classes_[label_indices(pairs, probabilities, rule)]
