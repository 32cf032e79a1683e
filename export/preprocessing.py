"""Pixel preprocessings by name: as data, in NumPy and as ONNX nodes.

The right one depends on where the weights come from, not on the backbone: Keras trained its VGG16
on BGR minus the mean, torchvision on RGB scaled to unit variance. The figures are those of
keras.applications.imagenet_utils and of torchvision's weight transforms.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from export.graph import GraphBuilder
from vexas_edge.bundle.contract import Tensor, images_tensor
from vexas_edge.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """(pixel - mean) / scale per channel, in the network's channel order.

    mean, scale: in the units of a pixel, 0 to 255.
    bgr: whether the network's first channel is blue.
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    bgr: bool = False


@dataclass(frozen=True, kw_only=True)
class CanvasScaling:
    """A preprocessing on a canvas, as `InputScaling`."""

    preprocessing: Preprocessing
    canvas_px: int

    @property
    def cells(self) -> Tensor:
        return images_tensor(self.canvas_px)

    def __call__(self, cells: np.ndarray) -> np.ndarray:
        return pixels_from_cells(cells, self.preprocessing)

    def add(self, graph: GraphBuilder, cells: str) -> str:
        return add_preprocessing(graph, cells, self.preprocessing, self.canvas_px)


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

    >>> preprocessing_named("keras-caffe").bgr
    True

    Raises:
        UsageError: there is no preprocessing of that name.
    """
    if name not in PREPROCESSINGS:
        raise UsageError(
            f"unknown preprocessing {name!r}; expected one of {', '.join(PREPROCESSINGS)}, or a "
            "mean and a scale"
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
    """Name of the network input float32 (N, 3, H, W), computed from cells uint8 (N, H, W, 3) RGB.

    The mean is not folded into the first convolution, whose zero padding would then mean black
    instead of the mean. Channels are reordered after the transpose, at a tenth of the cost before
    it. Mean and scale are expanded to the canvas: in integer graphs onnxruntime moves the transpose
    behind them, and three values on the last axis then took a third of SqueezeNet's time.
    """

    def spread(values: tuple[float, float, float]) -> str:
        per_channel = graph.constant(np.reshape(values, (1, 3, 1, 1)), np.float32)
        return graph.node("Expand", per_channel, graph.columns(1, 3, canvas_px, canvas_px))

    pixels = graph.node("Cast", cells, to=TensorProto.FLOAT)
    pixels = graph.node("Transpose", pixels, perm=[0, 3, 1, 2])
    if preprocessing.bgr:
        pixels = graph.node("Gather", pixels, graph.columns(2, 1, 0), axis=1)
    if any(preprocessing.mean):
        pixels = graph.node("Sub", pixels, spread(preprocessing.mean))
    if any(scale != 1 for scale in preprocessing.scale):
        pixels = graph.node("Div", pixels, spread(preprocessing.scale))
    return pixels
