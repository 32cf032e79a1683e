"""An SVM's probabilities written plainly from the literature: the oracle that the export meets.

Kernel and decision values as in Chang and Lin (ACM TIST 2:27, 2011), Platt's sigmoid, and the
pairwise coupling of Wu, Lin and Weng (JMLR 5:975, 2004), one draw at a time, in float64.
"""

import numpy as np
from sklearn.svm import SVC


def decisions_by_numpy(svc: SVC, features: np.ndarray) -> np.ndarray:
    """Decision values float64 (A, P), positive for the first class of each pair."""
    x, vectors = features.astype(np.float64), svc.support_vectors_
    if svc.kernel == "linear":
        kernel = x @ vectors.T
    else:
        kernel = np.exp(-svc._gamma * ((x[:, None, :] - vectors[None]) ** 2).sum(axis=2))
    n_classes = len(svc.classes_)
    owner = np.repeat(np.arange(n_classes), svc.n_support_)
    sign = -1 if n_classes == 2 else 1
    columns: list[np.ndarray] = []
    for i in range(n_classes):
        for j in range(i + 1, n_classes):
            value = kernel[:, owner == i] @ svc.dual_coef_[j - 1, owner == i]
            value = value + kernel[:, owner == j] @ svc.dual_coef_[i, owner == j]
            columns.append(sign * (value + svc.intercept_[len(columns)]))
    return np.stack(columns, axis=1)


def probabilities_by_numpy(svc: SVC, decisions: np.ndarray) -> np.ndarray:
    """Probabilities float64 (A, C) from the decision values of `decisions_by_numpy`."""
    n_classes = len(svc.classes_)
    pairwise = 1 / (1 + np.exp(svc._probA * decisions + svc._probB))
    return np.array([_coupled(row, n_classes) for row in np.clip(pairwise, 1e-7, 1 - 1e-7)])


def _coupled(pairwise: np.ndarray, n_classes: int) -> np.ndarray:
    wins = np.zeros((n_classes, n_classes))
    wins[np.triu_indices(n_classes, 1)] = pairwise
    wins += np.tril(1 - wins.T, -1)
    q = -wins.T * wins
    np.fill_diagonal(q, (wins**2).sum(axis=0))
    p = np.full(n_classes, 1 / n_classes)
    for _ in range(max(100, n_classes)):
        gradient = q @ p
        energy = p @ gradient
        if np.abs(gradient - energy).max() < 0.005 / n_classes:
            break
        for t in range(n_classes):
            step = (energy - gradient[t]) / q[t, t]
            p[t] += step
            energy = (energy + step * (step * q[t, t] + 2 * gradient[t])) / (1 + step) ** 2
            gradient = (gradient + step * q[t]) / (1 + step)
            p /= 1 + step
    return p
