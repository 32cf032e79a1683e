"""The mask network as ONNX gives torch's numbers, in standard operators, on any number of crops."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from drawn_crops import drawn_crops, drawn_graph, drawn_network
from onnx import ModelProto

from export.comparing import ParityError
from export.graph import IR_VERSION, OPSET
from export.mask_graph import check_masks, masks_from_crops
from export.unet import UNet, lit_evenly
from training.mask_network.masks import crops_of
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.cells.isolation import resize_for_isolation
from vexas_edge.cells.limits import GRID_PX

CROPS = np.random.default_rng(0).integers(0, 256, (3, GRID_PX, GRID_PX, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def graph() -> ModelProto:
    return drawn_graph()


def test_the_graph_is_what_an_engine_expects(graph: ModelProto) -> None:
    onnx.checker.check_model(graph, full_check=True)
    assert graph.ir_version == IR_VERSION
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", OPSET)]
    assert {node.domain for node in graph.graph.node} == {""}
    (crops,), (masks,) = graph.graph.input, graph.graph.output
    shapes = [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (crops, masks)
    ]
    assert (crops.name, masks.name) == ("crops", "masks")
    assert shapes == [["N", GRID_PX, GRID_PX, 3], ["N", 3, GRID_PX, GRID_PX]]


def test_probabilities_are_torch_s(graph: ModelProto) -> None:
    assert check_masks(graph, drawn_network(), crops_of(drawn_crops(4))) < 1e-5
    assert check_masks(graph, drawn_network(), CROPS) < 1e-4


def test_black_crops_have_torch_s_probabilities_too(graph: ModelProto) -> None:
    assert check_masks(graph, drawn_network(), np.zeros_like(CROPS)) < 1e-5


def test_one_crop_and_many_give_the_same(graph: ModelProto) -> None:
    together = masks_from_crops(graph, np.concatenate([CROPS] * 4))
    alone = np.concatenate([masks_from_crops(graph, crop[None]) for crop in CROPS])
    np.testing.assert_array_equal(together, np.concatenate([alone] * 4))
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)


def test_another_network_s_graph_is_caught(graph: ModelProto) -> None:
    torch.manual_seed(0)
    with pytest.raises(
        ParityError, match="a probability differs from torch's by .*; allowed is 1e-04"
    ):
        check_masks(graph, UNet().eval(), CROPS)


def test_light_is_evened_in_the_graph_as_in_torch(graph: ModelProto) -> None:
    from export.execution import run_graph
    from export.graph import between

    found = run_graph(between(graph, ["crops"], ["scaled"]), {"crops": CROPS})["scaled"]
    expected = lit_evenly(torch.from_numpy(CROPS).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


@pytest.mark.real_data
def test_probabilities_are_torch_s_on_real_crops(graph: ModelProto, shared_data: Path) -> None:
    files = sorted((shared_data / "cells").glob("*/*/*"))[::6]
    crops = np.stack([resize_for_isolation(rgb_from_bytes(f.read_bytes())) for f in files])
    assert check_masks(graph, drawn_network(), crops) < 1e-4
