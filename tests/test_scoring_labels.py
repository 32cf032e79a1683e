"""Labels under both rules, beside scikit-learn's own."""

import numpy as np
import pytest
from sklearn.svm import SVC

from vexas_edge.scoring.figures.labels import label_indices


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_votes_are_what_svc_predicts(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    svc = SVC(decision_function_shape="ovo")
    svc.fit(rng.normal(size=(60, 4)), rng.integers(0, n_classes, 60))
    features = rng.normal(size=(500, 4))
    decisions = svc.decision_function(features).reshape(500, -1)
    labels = label_indices(decisions, np.zeros((500, n_classes)), "votes")
    np.testing.assert_array_equal(svc.classes_[labels], svc.predict(features))


def test_argmax_takes_the_largest_probability_whatever_the_decisions_say() -> None:
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.1, 0.5]])
    decisions = np.full((2, 3), 7.0)
    labels = label_indices(decisions, probabilities, "argmax")
    assert labels.tolist() == [1, 2]
    assert labels.dtype == np.int64


def test_the_rules_can_disagree() -> None:
    decisions, probabilities = np.array([[-0.1]]), np.array([[0.4, 0.6]])
    assert label_indices(decisions, probabilities, "votes").tolist() == [0]
    assert label_indices(decisions, probabilities, "argmax").tolist() == [1]


def test_ties_go_to_the_first_class_under_both_rules() -> None:
    circle = np.array([[1.0, -1.0, 1.0]])  # 0 beats 1, 2 beats 0, 1 beats 2: one vote each
    assert label_indices(circle, np.full((1, 3), 1 / 3), "votes").tolist() == [0]
    assert label_indices(circle, np.array([[0.2, 0.4, 0.4]]), "argmax").tolist() == [1]


def test_a_decision_of_exactly_zero_is_the_second_of_the_pair_as_in_libsvm() -> None:
    assert label_indices(np.zeros((1, 1)), np.full((1, 2), 0.5), "votes").tolist() == [1]
    assert label_indices(np.zeros((1, 3)), np.full((1, 3), 1 / 3), "votes").tolist() == [2]
