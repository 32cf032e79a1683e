"""Rounds weights one after the other, so that the later ones make up for the earlier ones' errors.

After Frantar et al. 2023 (GPTQ, arXiv 2210.17323). The bias counts as a last weight that is never
rounded, so it takes up a layer's mean error.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dtrtri

from calibration.integers.grids import Grid, Scheme
from calibration.integers.layers import Layer

# Added to the moments' diagonal, as a share of its mean, so that they can be inverted.
_DAMPING = 0.01

# Columns rounded before the rest are updated; it changes the speed, not the weights.
_BLOCK = 128

# An int32 must hold a bias and the sum that it is added to.
_LARGEST_BIAS = 2.0**30


@dataclass(frozen=True, kw_only=True)
class IntegerWeights:
    """A layer in integers: weight = scale of its output channel * integer.

    integers: int8, in the shape of the layer's weights.
    channels: their axis of output channels.
    scales: float32 (C,).
    bias: float64 (C,).
    """

    integers: np.ndarray
    channels: int
    scales: np.ndarray
    bias: np.ndarray


def integer_weights(
    layer: Layer, scheme: Scheme, grid: Grid, moments: np.ndarray
) -> IntegerWeights:
    """The integer weights, with a bias, whose outputs are closest to the layer's own.

    A channel of tiny weights gets a scale that is large enough for an int32 to hold its bias.

    Args:
        grid: of the layer's input.
        moments: (groups, K + 1, K + 1), from `calibration.integers.moments`.
    """
    largest = 2 ** (scheme.weight_bits - 1) - 1
    matrices = layer.matrices()
    biases = layer.bias.reshape(len(matrices), -1)
    scales = np.abs(matrices).max(axis=2) / largest
    needed = np.abs(biases) / grid.scale / _LARGEST_BIAS
    scales = np.maximum(scales, np.maximum(needed, 1e-12)).astype(np.float32)
    if layer.node.op_type == "MatMul":  # which has no bias to put an error into
        moments = moments.copy()
        moments[:, -1, :-1] = moments[:, :-1, -1] = 0
    rounded = [
        _rounded(*group, largest)
        for group in zip(matrices, biases, scales.astype(np.float64), moments, strict=True)
    ]
    integers = np.stack([group for group, _ in rounded])
    return IntegerWeights(
        integers=layer.from_matrices(integers).astype(np.int8),
        channels=layer.channels,
        scales=scales.ravel(),
        bias=np.concatenate([bias for _, bias in rounded]),
    )


def _rounded(
    weights: np.ndarray, bias: np.ndarray, scales: np.ndarray, moments: np.ndarray, largest: int
) -> tuple[np.ndarray, np.ndarray]:
    """One group's integers (C, K) and bias (C,)."""
    k = weights.shape[1]
    # The values that matter most go first, while most others are left to make up for their errors.
    order = np.append(np.argsort(-np.diag(moments)[:k], kind="stable"), k)
    upper = _inverse_factor(moments[np.ix_(order, order)])
    left = np.vstack([weights.T, bias])[order]
    integers = np.empty((k, len(weights)))
    for start in range(0, k, _BLOCK):
        stop = min(start + _BLOCK, k)
        errors = np.empty((stop - start, len(weights)))
        for i in range(start, stop):
            rounded = np.clip(np.rint(left[i] / scales), -largest, largest)
            error = (left[i] - rounded * scales) / upper[i, i]
            left[i + 1 : stop] -= np.outer(upper[i, i + 1 : stop], error)
            errors[i - start] = error
            integers[order[i]] = rounded
        left[stop:] -= upper[start:stop, stop:].T @ errors
    return integers.T, left[k]


def _inverse_factor(moments: np.ndarray) -> np.ndarray:
    """The upper triangular U, float64, for which U'U is the inverse of the damped moments."""
    damped = moments.astype(np.float64)
    weighted = np.arange(len(damped) - 1)  # without the bias, whose moment is always 1
    damped[weighted, weighted] += _DAMPING * np.diag(damped)[:-1].mean() + 1e-9
    # Rotate the matrix by 180 degrees; its Cholesky factor, rotated back, is the inverse of U.
    inverse = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    factor, _ = dtrtri(inverse, lower=0)
    return np.asarray(factor)
