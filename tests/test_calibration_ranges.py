"""Ranges do not depend on how the cells are cut into batches, nor on their order."""

import numpy as np
import pytest
from onnx import ModelProto, parser

from calibration.integers.ranges import extreme_ranges, percentile_ranges
from vexas_edge.errors import BundleError

CELLS = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
TENSORS = ("image", "shifted")


@pytest.fixture
def model() -> ModelProto:
    return parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]>'
        " g (uint8[N,4,4,3] cells) => (float[N,4,4,3] out)"
        " <float minus = {-100.0}>"
        " { image = Cast <to = 1> (cells) shifted = Add (image, minus) out = Relu (shifted) }"
    )


@pytest.mark.parametrize("n_batches", [1, 3, 40])
@pytest.mark.parametrize("seed", [0, 1])
def test_batches_and_order_change_nothing(model: ModelProto, n_batches: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(CELLS))

    def batches() -> list[np.ndarray]:
        return np.array_split(CELLS[order], n_batches)

    extremes = extreme_ranges(model, TENSORS, batches)
    low, high = float(CELLS.min()), float(CELLS.max())
    assert (extremes["image"].low, extremes["image"].high) == (low, high)
    assert (extremes["shifted"].low, extremes["shifted"].high) == (low - 100, high - 100)
    whole = percentile_ranges(model, extremes, lambda: [CELLS], 99)
    assert percentile_ranges(model, extremes, batches, 99) == whole


def test_a_percentile_leaves_its_share_of_values_outside(model: ModelProto) -> None:
    extremes = extreme_ranges(model, TENSORS, lambda: [CELLS])
    inner = percentile_ranges(model, extremes, lambda: [CELLS], 90)["image"]
    outside = (inner.low > CELLS) | (inner.high < CELLS)
    assert 0.08 < outside.mean() < 0.10


def test_a_value_that_is_not_finite_is_named(model: ModelProto) -> None:
    for tensor in model.graph.initializer:
        tensor.float_data[:] = [float("inf")]
    with pytest.raises(BundleError, match="activation shifted is not finite"):
        extreme_ranges(model, TENSORS, lambda: [CELLS])


def test_a_single_nan_among_many_values_is_named() -> None:
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]>'
        " g (uint8[N,4,4,3] cells) => (float[N,4,4,3] out)"
        " { image = Cast <to = 1> (cells) log = Log (image) same = Mul (image, log)"
        "   out = Relu (same) }"
    )
    cells = np.full((2, 4, 4, 3), 7, np.uint8)
    cells[1, 2, 2, 1] = 0
    with pytest.raises(BundleError, match="activation same is not finite"):
        extreme_ranges(model, ["same"], lambda: [cells])
