"""Second moments of each layer's inputs on the calibration cells."""

from collections.abc import Iterable, Mapping

import numpy as np
from onnx import ModelProto

from calibration.integers.layers import Layer
from export.execution import session_from
from export.graph import between

# Positions sampled per cell and layer; neighbours hold almost the same values.
_POSITIONS_PER_CELL = 64


def input_moments(
    model: ModelProto, layers: Mapping[str, Layer], batches: Iterable[np.ndarray]
) -> dict[str, np.ndarray]:
    """The mean of x x' per layer, float32 (groups, K + 1, K + 1).

    x holds the K values that an output channel sums and a one for the bias, at random positions of
    each cell, which are the same in every run. Memory grows with K, not with the number of cells.
    """
    source = model.graph.input[0].name
    tensors = list(dict.fromkeys(layer.node.input[0] for layer in layers.values()))
    session = session_from(between(model, [source], tensors))
    moments: dict[str, np.ndarray] = {}
    counts = dict.fromkeys(layers, 0)
    rng = np.random.Generator(np.random.PCG64(0))
    for batch in batches:
        values = dict(zip(tensors, session.run(None, {source: batch}), strict=True))
        for name, layer in layers.items():
            rows = _rows(layer, values[layer.node.input[0]], rng)
            total = rows.transpose(0, 2, 1) @ rows
            moments[name] = moments[name] + total if name in moments else total
            counts[name] += rows.shape[1]
    return {name: total / counts[name] for name, total in moments.items()}


def _rows(layer: Layer, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The inputs of the layer's weights, float32 (groups, n, K + 1), each row ending in a one."""
    if layer.node.op_type == "Conv":
        rows = _patches(layer, values, rng)
    else:
        rows = values.reshape(1, -1, values.shape[-1])
    return np.concatenate([rows, np.ones((*rows.shape[:-1], 1), rows.dtype)], axis=-1)


def _patches(layer: Layer, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    top, left, bottom, right = layer.attributes.get("pads", (0, 0, 0, 0))
    down, across = layer.attributes.get("strides", (1, 1))
    dilations = layer.attributes.get("dilations", (1, 1))
    kernel = layer.weights.shape[2:]
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    windows = windows[:, :, ::down, ::across, :: dilations[0], :: dilations[1]]
    height, width = windows.shape[2:4]
    picked = (len(values), min(_POSITIONS_PER_CELL, height * width))
    y, x = rng.integers(0, height, picked), rng.integers(0, width, picked)
    patches = windows[np.arange(len(values))[:, None], :, y, x]
    return patches.reshape(y.size, layer.groups, -1).transpose(1, 0, 2)
