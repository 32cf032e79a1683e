"""Decision trees as arrays: a forest's answer for one case, the same bits on every CPU."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.errors import BundleError


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """Trees in one row of nodes; a node with no feature (-1) is a leaf.

    roots: each tree's first node, int32 (T,).
    feature: which feature a node asks for, int16 (M,).
    threshold: up to it, the answer lies to the left, float64 (M,).
    left, right: the next node, int32 (M,); always a later one.
    value: what a leaf answers, float32 (M, K).
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]

    def check(self, n_features: int, name: str) -> None:
        """Raise BundleError if the trees are none, ask for what there is not, or never end."""
        n_nodes = self.feature.size
        for field, dtype, shape in (
            ("feature", np.int16, (n_nodes,)),
            ("threshold", np.float64, (n_nodes,)),
            ("left", np.int32, (n_nodes,)),
            ("right", np.int32, (n_nodes,)),
        ):
            array = getattr(self, field)
            if array.dtype != dtype or array.shape != shape:
                raise BundleError(
                    f"{name}: {field} is {array.dtype} {array.shape}, expected {shape}"
                )
        if self.value.dtype != np.float32 or self.value.ndim != 2 or len(self.value) != n_nodes:
            raise BundleError(f"{name}: value is {self.value.dtype} {self.value.shape}")
        if self.roots.dtype != np.int32 or self.roots.ndim != 1 or not len(self.roots):
            raise BundleError(f"{name}: it has no trees")
        places, inner = np.arange(n_nodes), self.feature >= 0
        later = np.minimum(self.left, self.right)[inner] > places[inner]
        within = np.maximum(self.left, self.right)[inner] < n_nodes
        rooted = (self.roots >= 0) & (self.roots < n_nodes)
        asked = (self.feature >= -1) & (self.feature < n_features)
        if not (later.all() and within.all() and rooted.all() and asked.all()):
            raise BundleError(
                f"{name}: a tree leads nowhere, or asks for a feature that there is not"
            )
        if not (np.isfinite(self.threshold).all() and np.isfinite(self.value).all()):
            raise BundleError(f"{name}: a tree holds a number that is not finite")

    def answer(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of the trees' answers, float64 (K,), summed in their order.

        Args:
            features: float64 (F,); they are rounded to float32 first, as where trees are fitted.
        """
        rounded = features.astype(np.float32).astype(np.float64)
        total = np.zeros(self.value.shape[1], np.float64)
        for root in self.roots:
            total += self.value[self._leaf(int(root), rounded)]
        return total / len(self.roots)

    def _leaf(self, node: int, features: NDArray[np.float64]) -> int:
        while (feature := self.feature[node]) >= 0:
            below = features[feature] <= self.threshold[node]
            node = int(self.left[node] if below else self.right[node])
        return node
