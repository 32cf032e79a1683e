"""How strange a smear may be before nothing in it is named, from patients held out of learning."""

from collections.abc import Sequence

import numpy as np

from vexas_edge.typing.familiar import LEAST_CELLS, Familiar

# Under this number of patients nothing is said of how they differ.
LEAST_CASES = 10
# How far above the mean of held-out patients a smear may lie, in their standard deviations, both of
# logarithms: one patient in 160 is left out if these are normal.
_DEVIATIONS = 2.5
# Of the mean variance, what is added to each direction's, as there are few cells for so many.
_SHRINKAGE = 0.1


def fitted_shape(encodings: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means float32 (C, D) and whitening float32 (D, D) of cells, as `Familiar` has them.

    Args:
        encodings: float32 (n, D).
        truth: the place of each cell's class, int64 (n,); under 0 for a cell of none or of several.
    """
    known, places = np.unique(truth[truth >= 0], return_inverse=True)
    own = encodings[truth >= 0].astype(np.float64)
    means = np.stack([own[places == place].mean(axis=0) for place in range(len(known))])
    apart = own - means[places]
    spread = apart.T @ apart / len(apart)
    spread += np.eye(len(spread)) * max(_SHRINKAGE * np.trace(spread) / len(spread), 1e-12)
    whitening = np.linalg.cholesky(np.linalg.inv(spread))
    return means.astype(np.float32), whitening.astype(np.float32)


def familiar_from_shape(
    shape: tuple[np.ndarray, np.ndarray], held_out: np.ndarray, owners: Sequence[str]
) -> Familiar | None:
    """What cells that were fitted on look like; None if there are too few patients to tell.

    Args:
        shape: of these cells, as `fitted_shape` has it.
        held_out: how far each of them lay from those of other patients, float64 (n,).
        owners: the patients, or sources where these are not known.
    """
    names, places = np.unique(owners, return_inverse=True)
    each = [held_out[places == place] for place in range(len(names))]
    logs = [np.log(np.median(own)) for own in each if len(own) >= LEAST_CELLS]
    if len(logs) < LEAST_CASES:
        return None
    means, whitening = shape
    farthest = float(np.exp(np.mean(logs) + _DEVIATIONS * np.std(logs, ddof=1)))
    return Familiar(means=means, whitening=whitening, farthest=farthest, n_cases=len(logs))
