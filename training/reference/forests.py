"""Fits the trees of a reference with scikit-learn, and turns them into arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from vexas_edge.domain.trees import Forest

_TREES, _SHARE_OF_FEATURES, _LEAST_LEAF, _LEAST_FAMILY_LEAF = 40, 0.2, 8, 10
# A shift of the score is counted as log(|shift| + this).
_SHIFT_FLOOR = 0.02


def harm_forest(
    features: NDArray[np.float64],
    shifts: NDArray[np.float64],
    weights: NDArray[np.float64],
    seed: int,
) -> Forest:
    """Trees that answer log(|shift of the score| + 0.02).

    Args:
        features: float64 (R, F). shifts, weights: float64 (R,).
    """
    trees = ExtraTreesRegressor(
        _TREES, max_features=_SHARE_OF_FEATURES, min_samples_leaf=_LEAST_LEAF, random_state=seed
    )
    trees.fit(features, np.log(np.abs(shifts) + _SHIFT_FLOOR), weights)
    return forest_from_trees(trees.estimators_)


def family_forest(features: NDArray[np.float64], families: Sequence[str], seed: int) -> Forest:
    """Trees that answer how probable each family is, in the order of their names."""
    trees = ExtraTreesClassifier(
        _TREES,
        max_features=_SHARE_OF_FEATURES,
        min_samples_leaf=_LEAST_FAMILY_LEAF,
        class_weight="balanced",
        random_state=seed,
    )
    trees.fit(features, families)
    return forest_from_trees(trees.estimators_)


def forest_from_trees(estimators: Sequence[object]) -> Forest:
    trees = [estimator.tree_ for estimator in estimators]  # type: ignore[attr-defined]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    values = [tree.value.reshape(tree.node_count, -1) for tree in trees]
    shares = [v / v.sum(axis=1, keepdims=True) if v.shape[1] > 1 else v for v in values]

    def children(name: str) -> NDArray[np.int32]:
        sides = [getattr(t, name) + start for t, start in zip(trees, starts, strict=False)]
        return np.where(leaf, -1, np.concatenate(sides)).astype(np.int32)

    leaf = np.concatenate([tree.children_left for tree in trees]) < 0
    feature = np.where(leaf, -1, np.concatenate([tree.feature for tree in trees]))
    threshold = np.where(leaf, 0.0, np.concatenate([tree.threshold for tree in trees]))
    value = np.concatenate(shares)
    return Forest(
        roots=starts[:-1].astype(np.int32),
        feature=feature.astype(np.int16),
        threshold=threshold,
        left=children("children_left"),
        right=children("children_right"),
        value=np.where(leaf[:, None], value, 0).astype(np.float32),
    )
