"""Weights rounded one after the other, each error made up by those that are still to come.

After Frantar et al. 2023 (GPTQ, arXiv 2210.17323), with the bias as one more weight, the last,
which is never rounded: so a layer's mean error goes into its bias.
"""

from dataclasses import dataclass

import numpy as np

from calibration.grids import Grid, Scheme
from calibration.layers import Layer

# Added to the moments' diagonal, as a share of its mean, so that they can be inverted.
_DAMPING = 0.01

# Columns rounded before the rest is brought up to date; any number gives the same weights.
_BLOCK = 128

# The int32 of a bias must hold it, and the sum that it is added to.
_LARGEST_BIAS = 2.0**30


@dataclass(frozen=True, kw_only=True)
class IntegerWeights:
    """A layer in integers: weight = scale of its output channel * integer.

    integers: int8, shaped as the layer's weights. channels: their axis of output channels.
    scales: float32 (C,). bias: float64 (C,).
    """

    integers: np.ndarray
    channels: int
    scales: np.ndarray
    bias: np.ndarray


def integer_weights(
    layer: Layer, scheme: Scheme, grid: Grid, moments: np.ndarray
) -> IntegerWeights:
    """The layer's weights and bias that give the outputs closest to its own.

    A channel of tiny weights gets a scale with which an int32 can hold its bias.

    Args:
        grid: of the layer's input.
        moments: (groups, K + 1, K + 1), from `calibration.moments`.
    """
    largest = 2 ** (scheme.weight_bits - 1) - 1
    matrices = layer.matrices()
    biases = layer.bias.reshape(len(matrices), -1)
    scales = np.abs(matrices).max(axis=2) / largest
    needed = np.abs(biases) / grid.scale / _LARGEST_BIAS
    scales = np.maximum(scales, np.maximum(needed, 1e-12)).astype(np.float32)
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
    # The values that weigh most go first, while there are most others to make up for them.
    order = np.append(np.argsort(-np.diag(moments)[:k], kind="stable"), k)
    upper = _inverse_factor(moments[np.ix_(order, order)])
    left = np.column_stack([weights, bias])[:, order]
    integers = np.empty_like(weights)
    for start in range(0, k, _BLOCK):
        stop = min(start + _BLOCK, k)
        errors = np.empty((len(weights), stop - start))
        for i in range(start, stop):
            rounded = np.clip(np.rint(left[:, i] / scales), -largest, largest)
            error = (left[:, i] - rounded * scales) / upper[i, i]
            left[:, i + 1 : stop] -= np.outer(error, upper[i, i + 1 : stop])
            errors[:, i - start] = error
            integers[:, order[i]] = rounded
        left[:, stop:] -= errors @ upper[start:stop, stop:]
    return integers, left[:, k]


def _inverse_factor(moments: np.ndarray) -> np.ndarray:
    """The upper Cholesky factor of the inverse of the damped moments, float64."""
    moments = moments.astype(np.float64)
    damping = _DAMPING * np.diag(moments)[:-1].mean() + 1e-9
    damped = moments + damping * np.eye(len(moments))
    return np.linalg.cholesky(np.linalg.inv(damped)).T
