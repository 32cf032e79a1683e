"""The mask network as ONNX: from an analyzer's crops to the class probabilities of each pixel."""

import logging
import warnings

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto
from torch import Tensor, nn

from export.comparing import ParityError
from export.execution import run_in_parts
from export.graph import OPSET, GraphBuilder, declared, standard_model
from export.unet import BLOCK_PX, DARKEST_LIGHT, UNet, probabilities_from_crops
from vexas_edge.bundle.contract import CROPS, LOGITS, MASK_CONTRACT, MASKS, SCALED
from vexas_edge.cells.limits import GRID_PX

# Largest difference of any probability from torch's.
TOLERANCE = 1e-4


def onnx_from_unet(network: UNet) -> ModelProto:
    """The mask network's graph: `crops` uint8 (N, S, S, 3) RGB to `masks` float32 (N, 3, S, S).

    The masks are probabilities of background, cytoplasm and nucleus, not classes, since a smooth
    outline at the crop's own resolution is later cut from them. S is `GRID_PX`. The inner tensors
    `pixels` and `logits` keep these names.

    Args:
        network: in evaluation mode, on the CPU.
    """
    graph = GraphBuilder()
    pixels = graph.rename(_add_even_light(graph, CROPS), SCALED)
    outputs = graph.place(_folded(network), "unet", {"light": pixels})
    logits = graph.rename(outputs["folded_logits"], LOGITS)
    logits = graph.node("DepthToSpace", logits, blocksize=2, mode="CRD")
    graph.node("Softmax", logits, output=MASKS, axis=1)
    return graph.model("isolate", *declared(MASK_CONTRACT))


def masks_from_crops(model: ModelProto | bytes, crops: np.ndarray) -> np.ndarray:
    """Probabilities float32 (N, 3, S, S) from crops uint8 (N, S, S, 3), by onnxruntime."""
    return run_in_parts(model, crops)[MASKS]


def check_masks(model: ModelProto, network: UNet, crops: np.ndarray) -> float:
    """The largest difference of any probability from torch's on these crops, uint8 (N, S, S, 3).

    Raises:
        ParityError: the difference is over `TOLERANCE`.
    """
    expected = probabilities_from_crops(network, crops)
    difference = float(np.abs(masks_from_crops(model, crops) - expected).max())
    if not difference <= TOLERANCE:
        raise ParityError(
            f"masks: a probability differs from torch's by {difference:.2e}; "
            f"allowed is {TOLERANCE:.0e}"
        )
    return difference


def _add_even_light(graph: GraphBuilder, crops: str) -> str:
    """`export.unet.lit_evenly` in ONNX, from uint8 (N, S, S, 3) to float32 (N, 3, S, S)."""
    images = graph.node("Cast", crops, to=TensorProto.FLOAT)
    images = graph.node("Transpose", images, perm=[0, 3, 1, 2])
    window = [BLOCK_PX] * 2
    lamp = graph.node("AveragePool", images, kernel_shape=window, strides=window)
    lamp = graph.node("ReduceMax", lamp, graph.columns(2, 3), keepdims=1)
    lamp = graph.node("Max", lamp, graph.constant(DARKEST_LIGHT, np.float32))
    return graph.node("Div", images, lamp)


def _folded(network: UNet) -> ModelProto:
    """The network between even light and unfolding, as ONNX: `light` to `folded_logits`."""
    light = torch.zeros(2, 3, GRID_PX, GRID_PX)
    # torch.onnx warns of a missing torchvision and of its own deprecated parts, to no user's use.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        program = torch.onnx.export(
            _Folded(network).eval(),
            (light,),
            input_names=["light"],
            output_names=["folded_logits"],
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # torch returns None only without `dynamo`
    model = standard_model(program.model_proto, "the exported mask network")
    onnx.checker.check_model(model, full_check=True)
    return model


class _Folded(nn.Module):
    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, light: Tensor) -> Tensor:
        return self.network.folded_logits(light)
