"""The fused graphs of whole networks with random weights, in each form that TensorRT is given."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto
from sklearn.svm import SVC

from calibration.candidates import SCHEMES
from calibration.fp16 import half_precision
from calibration.integers.recipe import calibrate, round_model
from export.backbones import build_backbone
from export.encoder import onnx_from_torch, with_known_width
from export.fuse import embedding_width, fuse_graphs
from export.heads import MedianHead
from export.preprocessing import PREPROCESSINGS, CanvasScaling
from vexas_edge import open_bundle
from vexas_edge.bundle.graphs import FUSED

# The paper's four with the preprocessing that its code gives them, and two light ones.
PREPROCESSED = {
    "vgg16": "keras-caffe",
    "resnet50": "keras-caffe",
    "inceptionv3": "keras-tf",
    "efficientnetb4": "keras-efficientnet",
    "squeezenet11": "torchvision",
}
DEMO = "demo"
NETWORKS = (*PREPROCESSED, DEMO)
DRAW_SIZE = 10


def reference_graph(network: str, canvas_px: int) -> ModelProto:
    """A network's fused graph in float32; that of the demonstration has a canvas of its own."""
    if network == DEMO:
        bundle = open_bundle(Path(str(files("vexas_edge"))) / "demo" / "demo.vxb")
        return onnx.load_from_string(bundle.model_file(next(iter(bundle.manifest.models)), FUSED))
    torch.manual_seed(0)
    module = build_backbone(network).eval()
    encoder = with_known_width(onnx_from_torch(module, canvas_px), canvas_px, network)
    rng = np.random.Generator(np.random.PCG64(0))
    features = rng.normal(size=(24, embedding_width(encoder)))
    classifier = SVC(probability=True, random_state=0).fit(features, np.arange(24) % 2)
    return fuse_graphs(
        encoder,
        MedianHead(classifier=classifier, draw_size=DRAW_SIZE),
        CanvasScaling(preprocessing=PREPROCESSINGS[PREPROCESSED[network]], canvas_px=canvas_px),
        encoding="l2",
    )


def int8_graph(reference: ModelProto) -> ModelProto:
    """The graph in integers for TensorRT, as calibration writes it, from two cells of noise."""
    canvas_px = reference.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    rng = np.random.Generator(np.random.PCG64(0))
    cells = rng.integers(0, 256, (2, canvas_px, canvas_px, 3), dtype=np.uint8)
    scheme = SCHEMES["int8-trt"]
    found = calibrate(
        reference, lambda: iter([cells]), percentiles={scheme.percentile}, cells_key="", cache=None
    )
    return round_model(found, scheme).graph()


# From the float32 graph to that of each precision.
FORMS: dict[str, Callable[[ModelProto], ModelProto]] = {
    "fp32": lambda reference: reference,
    "fp16": half_precision,
    "int8": int8_graph,
}
