"""Scores many bags of cells by a classifier, with the very graph that scoring would run."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from export.execution import session_from
from export.fuse import head_graph
from export.heads import MedianHead
from training.patients.aggregates import DrawOptions
from training.patients.classifier import Classifier
from training.reference.held_out import Bag, Scorer
from vexas_edge.bundle.contract import DRAWS, ENCODINGS, PROBABILITIES
from vexas_edge.scoring.draws import draw_cells

# Medians in one call of the graph, which bounds memory: the kernel has a number for each of them
# and each of some thousand support vectors.
_ROWS_PER_CALL = 1024


def scorer_from_classifier(classifier: Classifier, positive: str, draws: DrawOptions) -> Scorer:
    """Scores bags as the classifier's bundle would: the mean probability of `positive`.

    Args:
        draws: how many medians a score is the mean of, of how many cells each, and their seed.
    """
    head = MedianHead(classifier=classifier, draw_size=draws.size)
    session = session_from(head_graph(head))
    column = list(classifier.classes_).index(positive)
    per_call = max(1, _ROWS_PER_CALL // draws.draws)

    @cache
    def drawn(identities: tuple[bytes, ...]) -> NDArray[np.int64]:
        return draw_cells(identities, draws.draws, draws.size, draws.seed)

    def scores(bags: Sequence[Bag]) -> NDArray[np.float64]:
        starts = np.cumsum([0, *(len(encodings) for encodings, _ in bags)])
        feeds = {
            ENCODINGS: np.concatenate([encodings for encodings, _ in bags]),
            DRAWS: np.concatenate(
                [drawn(tuple(ids)) + start for (_, ids), start in zip(bags, starts, strict=False)]
            ),
        }
        (probabilities,) = session.run([PROBABILITIES], feeds)
        return probabilities[:, column].astype(np.float64).reshape(len(bags), -1).mean(axis=1)

    def score_all(bags: Sequence[Bag]) -> NDArray[np.float64]:
        parts = [bags[start : start + per_call] for start in range(0, len(bags), per_call)]
        return np.concatenate([scores(part) for part in parts]) if parts else np.empty(0)

    return score_all
