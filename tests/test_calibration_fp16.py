"""Half precision is written in the graph, and judged by an executor that really rounds."""

import warnings

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from sklearn.svm import SVC
from torch import nn

from calibration.fp16 import (
    LARGEST,
    LARGEST_ACTIVATION,
    emulated_half_precision,
    half_precision,
)
from calibration.proof.preflight import preflight_findings
from calibration.region import encoder_region
from export.encoder import onnx_from_torch, with_known_width
from export.fuse import fuse_graphs
from export.heads import MedianHead
from export.preprocessing import PREPROCESSINGS, CanvasScaling
from vexas_edge.errors import BundleError
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")

PX = 16
CELLS = np.random.default_rng(0).integers(0, 256, (6, PX, PX, 3), dtype=np.uint8)
DRAWS = np.random.default_rng(1).integers(0, 6, (5, 3))


class Net(nn.Module):
    """A shortcut, a gate and a pooling: what the real backbones are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.act = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.stem(x / 64))
        return torch.relu(x + self.inner(x)).mean((2, 3))


@pytest.fixture(scope="module")
def fused() -> ModelProto:
    torch.manual_seed(0)
    x = np.random.default_rng(2).normal(size=(20, 8)).astype(np.float32)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        svc = SVC(probability=True, random_state=0).fit(x, [0, 1] * 10)
    encoder = with_known_width(onnx_from_torch(Net().eval(), PX), PX, "net")
    return fuse_graphs(
        encoder,
        MedianHead(classifier=svc, draw_size=3),
        CanvasScaling(preprocessing=PREPROCESSINGS["keras-caffe"], canvas_px=PX),
        encoding="l2",
    )


def encodings(model: ModelProto, *, optimised: bool = True) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(["encodings"], {"cells": CELLS, "draws": DRAWS})[0]


def test_the_region_ends_before_the_final_pooling(fused: ModelProto) -> None:
    region = encoder_region(fused)
    assert region.entry == "scaled"
    assert [node.op_type for node in region.nodes] == [
        *("Div", "Conv", "Sigmoid", "Mul", "Conv", "Add", "Relu"),
    ]
    assert region.exit == region.nodes[-1].output[0]


def test_a_half_graph_is_half_inside_and_float32_around(fused: ModelProto) -> None:
    half = half_precision(fused)
    types = {t.name: t.data_type for t in half.graph.initializer}
    used = {
        node.name: {types[name] for name in node.input if name in types} for node in half.graph.node
    }
    for node in encoder_region(fused).nodes:
        assert used[node.name] <= {TensorProto.FLOAT16}
    assert used["encodings"] == set()
    assert [(i.name, i.type.tensor_type.elem_type) for i in half.graph.output] == [
        (o.name, TensorProto.FLOAT) for o in fused.graph.output
    ]
    assert preflight_findings(half) == []
    assert len(half.SerializeToString()) < len(fused.SerializeToString())


def test_no_convolution_of_a_half_graph_has_its_bias_inside(fused: ModelProto) -> None:
    half = half_precision(fused)
    convolutions = [node for node in half.graph.node if node.op_type == "Conv"]
    assert [len(node.input) for node in convolutions] == [2, 2]
    users = {name: node for node in half.graph.node for name in node.input}
    assert [users[node.output[0]].op_type for node in convolutions] == ["Add", "Add"]


def test_the_emulation_is_numpys_rounding_of_every_activation(fused: ModelProto) -> None:
    emulation = emulated_half_precision(half_precision(fused))
    inside = {name for node in encoder_region(fused).nodes for name in node.output}
    watched = [f"{name}/float16" for name in inside]
    for name in [f"{w}{suffix}" for w in watched for suffix in ("", "/exact")]:
        emulation.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    outputs = run_all(emulation)
    changed = 0
    for name in watched:
        by_numpy = outputs[f"{name}/exact"].astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(outputs[name], by_numpy)
        changed += bool((outputs[name] != outputs[f"{name}/exact"]).any())
    assert changed == len(watched) - 2  # a rectifier and a division by 64 round nothing
    largest = max(float(np.abs(outputs[name]).max()) for name in watched)
    assert outputs[LARGEST] >= largest
    cosine = (outputs["encodings"] * encodings(fused)).sum(axis=1)
    assert 0.9999 < cosine.min() < 1.0


def run_all(model: ModelProto) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"cells": CELLS, "draws": DRAWS}), strict=True))


def test_the_emulation_shows_what_is_wrong_with_the_file_itself(fused: ModelProto) -> None:
    spoilt = half_precision(fused)
    for tensor in spoilt.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16 and len(tensor.dims) == 4:
            noise = np.random.default_rng(0).normal(size=tuple(tensor.dims)).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(noise, tensor.name))
    emulated = encodings(emulated_half_precision(spoilt), optimised=False)
    assert (emulated * encodings(fused)).sum(axis=1).min() < 0.9


def test_an_overflow_shows_in_the_emulation(fused: ModelProto) -> None:
    huge = ModelProto()
    huge.CopyFrom(fused)
    for tensor in huge.graph.initializer:
        if tuple(tensor.dims) == (8, 3, 3, 3):
            values = numpy_helper.to_array(tensor) * np.float32(6e4)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    assert np.isfinite(encodings(huge)).all()
    outputs = run_all(emulated_half_precision(half_precision(huge)))
    assert not np.isfinite(outputs["encodings"]).all()
    assert not outputs[LARGEST] <= LARGEST_ACTIVATION


def test_a_weight_that_float16_cannot_hold_is_refused(fused: ModelProto) -> None:
    huge = ModelProto()
    huge.CopyFrom(fused)
    for tensor in huge.graph.initializer:
        if tuple(tensor.dims) == (8, 3, 3, 3):
            values = numpy_helper.to_array(tensor) * np.float32(1e7)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    with pytest.raises(BundleError, match="more than float16 can hold"):
        half_precision(huge)


def test_what_is_no_fused_graph_or_has_unknown_operators_is_refused(fused: ModelProto) -> None:
    other = ModelProto()
    other.CopyFrom(fused)
    for node in other.graph.node:
        if node.op_type == "Sigmoid" and node in encoder_region(fused).nodes:
            node.op_type = "Sin"
    with pytest.raises(BundleError, match="operators that cannot be converted: Sin"):
        encoder_region(other)
    with pytest.raises(BundleError, match="not a fused graph"):
        encoder_region(ModelProto())
