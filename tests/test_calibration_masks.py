"""The mask network in integers: really so, and its masks hardly differ."""

import numpy as np
import onnx
import pytest
from drawn_crops import drawn_crops, drawn_graph
from onnx import ModelProto, numpy_helper

from calibration.integers.masks import integer_masks, mask_agreement
from calibration.proof.census import executed_census
from calibration.region import encoder_region, mask_region
from export.graph import IR_VERSION, OPSET
from training.mask_network.masks import crops_of
from vexas_edge.errors import BundleError

CROPS = crops_of(drawn_crops(16))
OTHERS = crops_of(drawn_crops(8, first=100))


def batches() -> list[np.ndarray]:
    return np.array_split(CROPS, 2)


@pytest.fixture(scope="module")
def graph() -> ModelProto:
    return drawn_graph()


@pytest.fixture(scope="module")
def integers(graph: ModelProto) -> ModelProto:
    return integer_masks(graph, batches)


def test_all_layers_run_in_integers(integers: ModelProto) -> None:
    census = executed_census(integers, {"crops": OTHERS[:1]})
    assert (census.int8, census.fp32) == (1.0, 0.0)


def test_the_graph_stays_standard_and_a_quarter_of_the_size(
    graph: ModelProto, integers: ModelProto
) -> None:
    onnx.checker.check_model(integers, full_check=True)
    assert integers.ir_version == IR_VERSION
    assert [(o.domain, o.version) for o in integers.opset_import] == [("", OPSET)]
    assert [v.name for v in (*integers.graph.input, *integers.graph.output)] == ["crops", "masks"]
    assert integers.ByteSize() < 0.35 * graph.ByteSize()


def test_masks_hardly_differ(graph: ModelProto, integers: ModelProto) -> None:
    agreement = mask_agreement(graph, integers, OTHERS)
    assert agreement.crops == 8
    assert agreement.dice_mean > 0.995
    assert agreement.dice_p1 > 0.99
    assert agreement.same_class > 0.995
    assert agreement.figures()["dice_mean"] == agreement.dice_mean


def test_a_network_agrees_with_itself(graph: ModelProto) -> None:
    agreement = mask_agreement(graph, graph, OTHERS)
    assert (agreement.dice_mean, agreement.dice_p1, agreement.same_class) == (1, 1, 1)


def test_weights_have_seven_bits_so_that_one_file_serves_every_cpu(integers: ModelProto) -> None:
    kinds = {t.name: numpy_helper.to_array(t) for t in integers.graph.initializer}
    weights = [array for array in kinds.values() if array.dtype == np.int8 and array.ndim == 4]
    assert max(np.abs(array).max() for array in weights) == 63


def test_other_graphs_have_no_mask_region(graph: ModelProto) -> None:
    with pytest.raises(BundleError, match="not a mask network"):
        mask_region(ModelProto())
    with pytest.raises(BundleError, match="not a fused graph"):
        encoder_region(graph)
