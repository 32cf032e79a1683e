"""What a fused graph is given beside the cells, and the head to check it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.contract import CHECKED_DRAWS, COVARIATES, DRAWS, MEMBERS, Feeds, head_sizes
from vexas_edge.bundle.models import Medians, Model, Network
from vexas_edge.scoring.draws import by_identity, draws_of

# Gives the head's outputs by name, from encodings float32 (N, D) and what else it takes.
RunHead = Callable[[NDArray[np.float32], Feeds], dict[str, NDArray[Any]]]


def inputs_of_call(model: Network, identities: Sequence[bytes], *, checked: bool) -> Feeds:
    """What a fused graph takes beside the cells of one call.

    Args:
        identities: of the cells, at least one.
        checked: whether its probabilities are of all these cells, so that they can be checked; else
            they are of as little as can be.
    """
    if isinstance(model.aggregation, Medians):
        return {DRAWS: draws_of(identities, model, n_draws=CHECKED_DRAWS if checked else 1)}
    members = by_identity(identities) if checked else [0]
    # Covariates are added behind the encodings, so a check needs no patient's.
    covariates = np.zeros((1, head_sizes(model).n_covariates), np.float32)
    return {MEMBERS: np.array(members, np.int64), COVARIATES: covariates}


def head_of_call(encodings: NDArray[np.float32], inputs: Feeds) -> NDArray[np.float32]:
    """The encodings that the head takes to give what the fused graph gave, float32 (n, D)."""
    return encodings[inputs[MEMBERS]] if MEMBERS in inputs else encodings


def inputs_of_head(
    model: Model, identities: Sequence[bytes], covariates: NDArray[np.float32]
) -> Feeds:
    """What the head takes beside the encodings of all cells of a case.

    Args:
        identities: of the cells, in the order of the encodings, which for a bag is their own.
        covariates: float32 (1, M), standardised.
    """
    if isinstance(model.aggregation, Medians):
        return {DRAWS: draws_of(identities, model)}
    return {COVARIATES: covariates}
