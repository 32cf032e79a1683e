"""Pixels reach the network as the published functions would bring them there."""

import os
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from tiny import library_or_skip

from export.graph import GraphBuilder, tensor
from export.preprocessing import (
    PREPROCESSINGS,
    Preprocessing,
    add_preprocessing,
    pixels_from_cells,
    preprocessing_named,
)
from vexas_edge.errors import UsageError
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")

CELLS = np.random.default_rng(0).integers(0, 256, (5, 9, 7, 3), dtype=np.uint8)


def keras_function(module: str) -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return getattr(library_or_skip("keras.applications"), module).preprocess_input


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("keras-caffe", "vgg16"),
        ("keras-caffe", "resnet50"),
        ("keras-tf", "inception_v3"),
        ("keras-efficientnet", "efficientnet"),
    ],
)
def test_pixels_equal_those_of_keras(name: str, module: str) -> None:
    expected = keras_function(module)(CELLS.astype(np.float32)).transpose(0, 3, 1, 2)
    found = pixels_from_cells(CELLS, PREPROCESSINGS[name])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_torchvision_pixels_have_the_published_mean_and_deviation() -> None:
    expected = (CELLS / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = pixels_from_cells(CELLS, PREPROCESSINGS["torchvision"])
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "preprocessing",
    [*PREPROCESSINGS.values(), Preprocessing(mean=(1, 2, 3), scale=(4, 5, 6), bgr=True)],
)
def test_the_graph_gives_numpys_pixels(preprocessing: Preprocessing) -> None:
    graph = GraphBuilder()
    square = CELLS[:, :7]
    graph.rename(add_preprocessing(graph, "cells", preprocessing, canvas_px=7), "pixels")
    model = graph.model(
        "preprocessing",
        [tensor("cells", TensorProto.UINT8, ["N", 7, 7, 3])],
        [tensor("pixels", TensorProto.FLOAT, ["N", 3, 7, 7])],
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {"cells": square})
    np.testing.assert_array_equal(found, pixels_from_cells(square, preprocessing))


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match="'caffe'; expected one of keras-caffe, keras-tf"):
        preprocessing_named("caffe")
