"""Whether a smear's cells look like those that a model which names cells was fitted on.

The likeliest of the classes that a model knows says nothing of whether it knows such cells at all:
on another analyzer or stain it is often a wrong one, and surely so. What tells is how far cells'
encodings lie from the middle of the nearest class, in the spread that the classes share
(Mahalanobis distance; Lee 2018, arXiv:1807.03888). One cell may lie anywhere, so a smear is gone by
the median of its cells.
"""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from vexas_edge.errors import BundleError
from vexas_edge.inputs import arrays_from_npz
from vexas_edge.results.typing import Strangeness

# The median of fewer cells says too little of a smear.
LEAST_CELLS = 10
_SCHEMA = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Familiar:
    """What a model was fitted on, D numbers an encoding and C classes.

    means: of each class, float32 (C, D).
    whitening: what takes encodings to numbers that vary by 1 and independently within classes,
    float32 (D, D).
    farthest: the largest median distance of a smear that is like those fitted on.
    n_cases: how many patients, or sources, that was found on.
    """

    means: NDArray[np.float32]
    whitening: NDArray[np.float32]
    farthest: float
    n_cases: int

    def strangeness(self, encodings: NDArray[np.float32]) -> Strangeness | None:
        """How strange a smear is; None for one of few cells.

        Args:
            encodings: of its distinct cells, float32 (N, D).
        """
        if len(encodings) < LEAST_CELLS:
            return None
        found = distances(encodings, self.means, self.whitening)
        return Strangeness(distance=float(np.median(found)), farthest=self.farthest)


def distances(
    encodings: NDArray[np.float32], means: NDArray[np.float32], whitening: NDArray[np.float32]
) -> NDArray[np.float64]:
    """How far each encoding lies from the nearest class, float64 (N,), about 1 within it."""
    white = encodings.astype(np.float64) @ whitening.astype(np.float64)
    centres = means.astype(np.float64) @ whitening.astype(np.float64)
    each = [np.square(white - centre).mean(axis=1) for centre in centres]
    return np.asarray(np.sqrt(np.min(each, axis=0)))


def bytes_from_familiar(familiar: Familiar) -> bytes:
    """As the bytes of `familiar.npz`; the same values, the same bytes."""
    file = BytesIO()
    np.savez(
        file,
        allow_pickle=False,
        schema=np.array(_SCHEMA),
        means=familiar.means,
        whitening=familiar.whitening,
        farthest=np.array(familiar.farthest),
        n_cases=np.array(familiar.n_cases),
    )
    return file.getvalue()


def familiar_from_bytes(data: bytes, width: int) -> Familiar:
    """What `bytes_from_familiar` wrote.

    Args:
        width: D of the model's encodings.

    Raises:
        BundleError: it is damaged, of another schema, or of another model.
    """
    try:
        arrays = arrays_from_npz(data)
    except ValueError as error:
        raise BundleError(f"familiar.npz cannot be read: {error}") from error
    wanted = {"schema": 0, "means": 2, "whitening": 2, "farthest": 0, "n_cases": 0}
    if {name: array.ndim for name, array in arrays.items()} != wanted:
        raise BundleError(f"familiar.npz holds {', '.join(sorted(arrays))}, not what it should")
    means, whitening, farthest = (arrays[name] for name in ("means", "whitening", "farthest"))
    if means.shape[1] != width:
        raise BundleError(
            f"familiar.npz is of encodings of {means.shape[1]}, and the model's have {width}"
        )
    is_sound = (
        arrays["schema"] == _SCHEMA
        and means.dtype == whitening.dtype == np.float32
        and whitening.shape == (width, width)
        and np.isfinite(means).all()
        and np.isfinite(whitening).all()
        and farthest > 0
    )
    if not is_sound:
        raise BundleError("familiar.npz is damaged or of another version; train the model anew")
    return Familiar(
        means=means,
        whitening=whitening,
        farthest=float(farthest),
        n_cases=int(arrays["n_cases"]),
    )
