"""What a network wants to see: named pixel preprocessings, as data, as NumPy and as ONNX nodes.

The name follows the source of the weights, never the backbone: Keras trained its VGG16 on BGR minus
the mean, torchvision its own on RGB scaled to unit variance. The figures are those that
keras.applications.imagenet_utils and torchvision's weight transforms publish.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from export.graph import GraphBuilder
from vexas_edge.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """(pixel - mean) / scale for each channel, in the network's channel order.

    mean, scale: in units of a pixel, 0 to 255. bgr: the network wants blue first.
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    bgr: bool = False


PREPROCESSINGS = {
    "keras-caffe": Preprocessing(mean=(103.939, 116.779, 123.68), scale=(1, 1, 1), bgr=True),
    "keras-tf": Preprocessing(mean=(127.5, 127.5, 127.5), scale=(127.5, 127.5, 127.5)),
    # Keras' EfficientNet rescales inside the network.
    "keras-efficientnet": Preprocessing(mean=(0, 0, 0), scale=(1, 1, 1)),
    "torchvision": Preprocessing(
        mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), scale=(0.229 * 255, 0.224 * 255, 0.225 * 255)
    ),
}


def preprocessing_named(name: str) -> Preprocessing:
    """The preprocessing of that name.

    Raises:
        UsageError: no such name.
    """
    if name not in PREPROCESSINGS:
        raise UsageError(
            f"unknown preprocessing {name!r}: one of {', '.join(PREPROCESSINGS)}, or mean and scale"
        )
    return PREPROCESSINGS[name]


def pixels_from_cells(cells: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Network input float32 (N, 3, H, W) from cells uint8 (N, H, W, 3) RGB."""
    channels = cells[..., ::-1] if preprocessing.bgr else cells
    mean = np.asarray(preprocessing.mean, np.float32)
    scale = np.asarray(preprocessing.scale, np.float32)
    pixels = (channels.astype(np.float32) - mean) / scale
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def add_preprocessing(
    graph: GraphBuilder, cells: str, preprocessing: Preprocessing, canvas_px: int
) -> str:
    """Name of the network input float32 (N, 3, H, W) from cells uint8 (N, H, W, 3) RGB.

    The mean is never folded into the first convolution, whose zero padding would then stand for
    black instead of for the mean. Channels are reordered after the transpose, where it costs a
    tenth. Mean and scale are spread over the canvas: in integer graphs onnxruntime moves the
    transpose behind them, and three values on the last axis took a third of SqueezeNet's time.
    """

    def spread(values: tuple[float, float, float]) -> str:
        a_channel = graph.constant(np.reshape(values, (1, 3, 1, 1)), np.float32)
        return graph.node("Expand", a_channel, graph.columns(1, 3, canvas_px, canvas_px))

    pixels = graph.node("Cast", cells, to=TensorProto.FLOAT)
    pixels = graph.node("Transpose", pixels, perm=[0, 3, 1, 2])
    if preprocessing.bgr:
        pixels = graph.node("Gather", pixels, graph.columns(2, 1, 0), axis=1)
    if any(preprocessing.mean):
        pixels = graph.node("Sub", pixels, spread(preprocessing.mean))
    if any(scale != 1 for scale in preprocessing.scale):
        pixels = graph.node("Div", pixels, spread(preprocessing.scale))
    return pixels
