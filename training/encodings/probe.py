"""The paper's probe: how well encodings tell groups of cells apart, for each pair of groups.

The pair's cells are halved ten times, stratified; a classifier learns on one half, and its ROC-AUC
for the second group is measured on the other (Chabrun et al., CCLM 2023, 10.1515/cclm-2022-1283).
The paper's figures are those of five nearest neighbours; an RBF SVM is measured beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from vexas_edge.errors import InputError

REPEATS = 10
NEIGHBOURS = 5


@dataclass(frozen=True, kw_only=True)
class PairProbe:
    """One pair of groups with `n` cells.

    knn_auc, svm_auc: ROC-AUC of nearest neighbours and of the SVM, means over ten halvings.
    """

    first: str
    second: str
    n: int
    knn_auc: float
    svm_auc: float


def probe_pairs(
    encodings: np.ndarray, groups: Sequence[str], order: Sequence[str] | None = None
) -> tuple[PairProbe, ...]:
    """The probe of every pair of groups.

    Args:
        encodings: float32 (N, D), L2-normalised.
        groups: of each cell.
        order: of the groups; None for the order of their first cells.

    Raises:
        InputError: there are fewer than two groups, or one has too few cells.
    """
    labels = np.array(groups)
    order = tuple(dict.fromkeys(groups)) if order is None else tuple(order)
    counts = {group: int((labels == group).sum()) for group in order}
    if len(counts) < 2:
        raise InputError(
            f"a probe compares at least two groups of cells; found {', '.join(counts) or 'none'}"
        )
    few = [f"{group} has {n}" for group, n in counts.items() if n < 2 * NEIGHBOURS]
    if few:
        raise InputError(
            f"a probe needs at least {2 * NEIGHBOURS} cells of each group; {', '.join(few)}"
        )
    return tuple(_pair(encodings, labels, *pair) for pair in combinations(order, 2))


def _pair(encodings: np.ndarray, labels: np.ndarray, first: str, second: str) -> PairProbe:
    chosen = np.isin(labels, (first, second))
    features, is_second = encodings[chosen], labels[chosen] == second
    knn, svm = [], []
    for repeat in range(REPEATS):
        fit, judge = train_test_split(
            np.arange(len(features)),
            train_size=0.5,
            random_state=repeat,
            shuffle=True,
            stratify=labels[chosen],
        )
        neighbours = KNeighborsClassifier(NEIGHBOURS).fit(features[fit], is_second[fit])
        near = neighbours.predict_proba(features[judge])[:, 1]
        knn.append(roc_auc_score(is_second[judge], near))
        far = SVC().fit(features[fit], is_second[fit]).decision_function(features[judge])
        svm.append(roc_auc_score(is_second[judge], far))
    return PairProbe(
        first=first,
        second=second,
        n=len(features),
        knn_auc=float(np.mean(knn)),
        svm_auc=float(np.mean(svm)),
    )
