"""Integers: the same network folded and equalised, rounded well, and really run in integers."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, numpy_helper
from sklearn.svm import SVC
from torch import nn

from calibration.candidates import dense_layers, encoder_of
from calibration.integers.activations import activations
from calibration.integers.biases import with_corrected_biases
from calibration.integers.equalisation import equalise_channels
from calibration.integers.folding import fold_for_integers
from calibration.integers.grids import PASSING, Grid, Scheme, grid_from_range, grids_from_ranges
from calibration.integers.layers import Layer, weighted_layers
from calibration.integers.means import channels_of_means, mean_as_convolution
from calibration.integers.ranges import Range
from calibration.integers.recipe import Calibration, RoundedModel, calibrate, round_model
from calibration.integers.rounding import integer_weights
from calibration.proof.census import (
    Census,
    executed_census,
    multiply_adds,
    written_census,
)
from calibration.proof.exact import exact_session
from calibration.proof.preflight import preflight_findings
from calibration.region import Region, encoder_region
from calibration.rehearsal import (
    Rehearsal,
    _needed,
    choose_float_layers,
    choose_ranges,
    noise_share,
)
from export.encoder import onnx_from_torch, with_known_width
from export.execution import run_graph, run_session, session_from, session_options
from export.fuse import fuse_graphs
from export.graph import GraphBuilder, rebuilt
from export.heads import MedianHead
from export.preprocessing import PREPROCESSINGS, CanvasScaling
from vexas_edge.errors import BundleError
from vexas_edge.host.cpu import has_vnni

PX = 24
WIDTH = 16
rng = np.random.default_rng(0)
CELLS = np.clip(rng.normal(150, 40, (48, PX, PX, 3)), 0, 255).astype(np.uint8)
OTHERS = np.clip(rng.normal(140, 45, (16, PX, PX, 3)), 0, 255).astype(np.uint8)
DRAWS = rng.integers(0, len(OTHERS), (4, 3))


class Shortcut(nn.Module):
    """ReLU, an addition and a max pooling, as in ResNets; one batch normalisation to fold."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.inner = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.last = nn.Conv2d(16, WIDTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(x / 64)))
        x = nn.functional.max_pool2d(x, 3, 2)
        return torch.relu(self.last(torch.relu(self.inner(x) + x))).mean((2, 3))


class Branches(nn.Module):
    """Two branches joined, a ReLU6, an inner average pooling, as in Inception and MobileNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.wide = nn.Conv2d(16, 8, 3, padding=1)
        self.narrow = nn.Conv2d(16, 8, 1)
        self.last = nn.Conv2d(16, WIDTH, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu6(self.stem(x / 64))
        x = torch.cat([torch.relu(self.wide(x)), torch.relu(self.narrow(x))], 1)
        x = nn.functional.avg_pool2d(x, 3, 1, 1)
        return torch.relu(self.last(x)).mean((2, 3))


class Gates(nn.Module):
    """SiLU, a depthwise convolution and squeeze-and-excitation, as in EfficientNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.squeeze = nn.Conv2d(16, 4, 1)
        self.excite = nn.Conv2d(4, 16, 1)
        self.last = nn.Conv2d(16, WIDTH, 1)
        self.act = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.depthwise(self.act(self.stem(x / 64))))
        gate = torch.sigmoid(self.excite(self.act(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.act(self.last(x * gate)).mean((2, 3))


class Dense(nn.Module):
    """A pooling that a dense layer follows."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.dense = nn.Linear(16, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(torch.relu(self.stem(x / 64)).mean((2, 3)))


NETS = (Shortcut, Branches, Gates, Dense)


@pytest.fixture(scope="module", params=NETS, ids=lambda kind: kind.__name__)
def fused(request: pytest.FixtureRequest) -> ModelProto:
    torch.manual_seed(0)
    module = request.param().eval()
    return fused_from(module)


@pytest.fixture(scope="module")
def found(fused: ModelProto) -> Calibration:
    return calibrate(fused, batches)


@pytest.fixture(scope="module")
def written(found: Calibration) -> ModelProto:
    """The graph for CPUs with VNNI, to be read, not run."""
    return round_model(found, Scheme()).graph()


@pytest.fixture(scope="module", params=[8, 7])
def rounded(found: Calibration, request: pytest.FixtureRequest) -> RoundedModel:
    """In the integers of each kind of CPU."""
    return round_model(found, Scheme(weight_bits=request.param))


@pytest.fixture
def exact(rounded: RoundedModel) -> RoundedModel:
    """The same, where this CPU sums its products exactly, so that its numbers can be judged."""
    if rounded.scheme.weight_bits == 8 and not has_vnni():
        pytest.skip("this CPU has no VNNI: its sums of 8-bit products may saturate")
    return rounded


def batches() -> list[np.ndarray]:
    return np.array_split(CELLS, 5)


def outputs(model: ModelProto) -> dict[str, np.ndarray]:
    return run_session(exact_session(model), {"cells": OTHERS, "draws": DRAWS})


def cosines(model: ModelProto, reference: ModelProto) -> np.ndarray:
    return (outputs(model)["encodings"] * outputs(reference)["encodings"]).sum(axis=1)


def executed(model: ModelProto, fused: ModelProto) -> Census:
    return executed_census(encoder_of(model), {"cells": OTHERS}, dense_layers(fused))


def test_folding_and_equalising_leave_the_network_as_it_is(fused: ModelProto) -> None:
    folded = fold_for_integers(fused, encoder_region(fused))
    assert not {"BatchNormalization", "ReduceMean"} & {
        node.op_type for node in encoder_region(folded).nodes
    }
    equal = equalise_channels(folded, encoder_region(folded), batches)
    for name, values in outputs(equal).items():
        assert np.abs(values - outputs(fused)[name]).max() < 1e-5


def test_a_batch_normalisation_of_its_own_becomes_a_depthwise_convolution() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]>'
        " g (uint8[N,2,4,4] cells) => (float[N,2] encodings)"
        " <float[2] a = {1.5, 2.0}, float[2] b = {0.1, 0.2}, float[2] m = {9.0, 8.0},"
        "  float[2] v = {4.0, 0.5}, int64[2] axes = {2, 3}>"
        " { scaled = Cast <to = 1> (cells) p = Relu (scaled)"
        "   n = BatchNormalization <epsilon = 0.001> (p, a, b, m, v)"
        "   embedding = ReduceMean <keepdims = 0> (n, axes) encodings = Identity (embedding) }"
    )
    folded = fold_for_integers(model, encoder_region(model))
    assert [node.op_type for node in folded.graph.node][2] == "Conv"
    cells = CELLS[:, :2, :4, :3].repeat(2, axis=3)[..., :4]
    before, after = (run_graph(m, {"cells": cells})["encodings"] for m in (model, folded))
    assert np.allclose(before, after)


@pytest.mark.parametrize(
    ("attributes", "whole"),
    [
        ("kernel_shape = [3, 3], strides = [2, 2]", True),
        ("kernel_shape = [3, 2], pads = [1, 1, 1, 0], count_include_pad = 1", True),
        ("kernel_shape = [3, 3], pads = [1, 1, 1, 1]", False),  # fewer values at the edge
        ("kernel_shape = [2, 2], strides = [3, 3], ceil_mode = 1", False),
    ],
)
def test_a_mean_over_whole_windows_is_an_exact_sum_of_integers(
    attributes: str, whole: bool
) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]>'
        " g (float[N,2,7,7] x) => (float[N,2,P,Q] mean)"
        f" {{ mean = AveragePool <{attributes}> (x) }}"
    )
    assert channels_of_means(model) == ({"mean": 2} if whole else {})
    if whole:
        graph = GraphBuilder("")
        graph.nodes.append(mean_as_convolution(graph, model.graph.node[0], 2))
        x = CELLS[:, :7, :7, :2].transpose(0, 3, 1, 2).astype(np.float32)
        sums = rebuilt(model, graph.nodes, graph.initializers)
        before, after = (run_graph(m, {"x": x})["mean"] for m in (model, sums))
        assert np.allclose(before, after, rtol=1e-6)


def test_channels_of_rectified_layers_come_closer_in_range() -> None:
    torch.manual_seed(0)
    module = Branches()
    with torch.no_grad():
        module.wide.weight[0] *= 100
    encoder = with_known_width(onnx_from_torch(module.eval(), PX), PX, "net")
    x = np.random.default_rng(2).normal(size=(20, WIDTH)).astype(np.float32)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        svc = SVC(probability=True, random_state=0).fit(x, [0, 1] * 10)
    fused = fuse_graphs(
        encoder,
        MedianHead(classifier=svc, draw_size=3),
        CanvasScaling(preprocessing=PREPROCESSINGS["keras-caffe"], canvas_px=PX),
        encoding="l2",
    )
    before = weighted_layers(fused, encoder_region(fused))
    after = weighted_layers(*both(equalise_channels(fused, encoder_region(fused), batches)))
    wide = next(name for name, layer in before.items() if layer.weights.shape == (8, 16, 3, 3))

    def spread(layer: Layer) -> float:
        largest = np.abs(layer.weights).max(axis=(1, 2, 3))
        return float(largest.max() / largest.min())

    assert spread(after[wide]) < 0.2 * spread(before[wide])


def both(model: ModelProto) -> tuple[ModelProto, Region]:
    return model, encoder_region(model)


def test_what_runs_is_int8_and_the_encodings_stay(fused: ModelProto, exact: RoundedModel) -> None:
    int8 = exact.graph()
    found = executed(int8, fused)
    assert (found.int8, found.fp32, found.float_layers) == (1, 0, ())
    least = {8: 0.999, 7: 0.998}[exact.scheme.weight_bits]
    assert np.percentile(cosines(int8, fused), 1) > least
    assert executed(fused, fused).fp32 == 1


class Blocks(nn.Module):
    """Convolution, batch normalisation and an activation, thrice, once around a shortcut."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.stem = self.block(3, 16, stride=2)
        self.inner = self.block(16, 16)
        self.last = self.block(16, WIDTH, stride=2)
        self.act = activation

    @staticmethod
    def block(channels: int, width: int, stride: int = 1) -> nn.Sequential:
        convolution = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.stem(x / 64))
        x = x + self.act(self.inner(x))
        return self.act(self.last(x)).mean((2, 3))


class ByHand(nn.Module):
    """An activation that a user wrote down as a formula."""

    def __init__(self, formula: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.formula(x)


ACTIVATIONS = {
    "SiLU": nn.SiLU(),
    "SiLU by hand": ByHand(lambda x: x * torch.sigmoid(x)),
    "quick GELU by hand": ByHand(lambda x: x * torch.sigmoid(1.702 * x)),
    "hard swish": nn.Hardswish(),
    "hard swish by hand": ByHand(lambda x: x * nn.functional.relu6(x + 3) / 6),
    "GELU": nn.GELU(),
    "GELU by tanh": nn.GELU("tanh"),
    "Mish": nn.Mish(),
    "ELU": nn.ELU(),
    "SELU": nn.SELU(),
    "leaky ReLU": nn.LeakyReLU(0.1),
    "PReLU": nn.PReLU(),
    "hard tanh": nn.Hardtanh(),
    "ReLU6": nn.ReLU6(),
    "softsign": nn.Softsign(),
    "tanh": nn.Tanh(),
}


def fused_from(module: nn.Module) -> ModelProto:
    encoder = with_known_width(onnx_from_torch(module.eval(), PX), PX, "net")
    x = np.random.default_rng(2).normal(size=(20, WIDTH)).astype(np.float32)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        svc = SVC(probability=True, random_state=0).fit(x, [0, 1] * 10)
    return fuse_graphs(
        encoder,
        MedianHead(classifier=svc, draw_size=3),
        CanvasScaling(preprocessing=PREPROCESSINGS["keras-caffe"], canvas_px=PX),
        encoding="l2",
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_activation_keeps_the_convolutions_around_it_in_float(name: str) -> None:
    torch.manual_seed(0)
    fused = fused_from(Blocks(ACTIVATIONS[name]))
    found = calibrate(fused, batches)
    for_cpus = round_model(found, Scheme(weight_bits=7)).graph()
    assert executed(for_cpus, fused).float_layers == ()
    assert np.percentile(cosines(for_cpus, fused), 1) > 0.995
    signed = round_model(found, Scheme(signed=True)).graph()
    assert written_census(encoder_of(signed), dense_layers(fused)).int8 == 1
    assert preflight_findings(signed) == []


def test_an_activation_of_several_operators_is_rounded_once() -> None:
    fused = fused_from(Blocks(nn.GELU()))
    found = calibrate(fused, batches)
    composed = [a for a in activations(found.model, found.region) if a.is_composed]
    first = composed[0]
    assert len(composed) == 3
    assert first.source in found.layers
    assert [node.op_type for node in first.nodes] == ["Div", "Erf", "Add", "Mul", "Mul"]
    graph = round_model(found, Scheme()).graph().graph
    rounded = {node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    inner = [node.output[0] for node in first.nodes[:-1]]
    assert {first.source, first.nodes[-1].output[0]} <= rounded
    assert rounded.isdisjoint(inner)


def test_a_group_normalisation_is_refused_with_the_reason() -> None:
    module = Blocks(nn.SiLU())
    module.inner[1] = nn.GroupNorm(4, 16)
    with pytest.raises(BundleError, match="a group, instance or layer normalisation cannot become"):
        calibrate(fused_from(module), batches)


def test_a_mean_error_of_a_layer_goes_into_its_bias(found: Calibration) -> None:
    rounded = round_model(found, Scheme(weight_bits=7))
    off = {name: replace(w, bias=w.bias + 0.1) for name, w in rounded.weights.items()}
    right = with_corrected_biases(rounded, batches())
    again = with_corrected_biases(replace(rounded, weights=off), batches())
    for name, weights in right.weights.items():
        assert (again.weights[name].integers == weights.integers).all()
        assert np.abs(again.weights[name].bias - weights.bias).max() < 1e-3


def test_other_ranges_are_taken_only_where_the_first_ones_do_not_suffice(
    fused: ModelProto, exact: RoundedModel
) -> None:
    rehearsal, bad = Rehearsal(fused, OTHERS), spoilt(exact, list(exact.weights)[-1])
    assert choose_ranges([bad, exact], rehearsal, 0.998) is exact
    assert choose_ranges([exact, bad], rehearsal, 1.0) is exact
    assert choose_ranges([bad, exact], rehearsal, -1) is bad


def test_layers_whose_float_is_not_needed_return_to_integers(
    fused: ModelProto, exact: RoundedModel
) -> None:
    harmful = list(exact.weights)[-1]
    model, rehearsal = spoilt(exact, harmful), Rehearsal(fused, OTHERS)
    assert _needed(model, rehearsal, list(exact.weights), 0.998) == [harmful]


def test_a_first_layer_in_float_takes_the_pixels_as_they_are() -> None:
    convolution = nn.Conv2d(3, WIDTH, 3)
    fused = fused_from(nn.Sequential(convolution, nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    rounded = round_model(calibrate(fused, batches), Scheme(weight_bits=7))
    (first,) = rounded.weights
    nodes = rounded.graph([first]).graph.node
    (layer,) = [node for node in nodes if node.output[0] == f"{first}/float"]
    assert layer.input[0] == rounded.calibration.region.entry
    assert all(node.input[0] != layer.input[0] for node in nodes if node.op_type != "Conv")


def test_a_first_layer_in_float_is_counted_by_its_own_weights_and_not_by_the_pixels_mean() -> None:
    fused = fused_from(Blocks(nn.SiLU()))
    rounded = round_model(calibrate(fused, batches), Scheme(weight_bits=7))
    first, *_ = rounded.weights
    share = multiply_adds(rounded.calibration.model, rounded.weights)[first]
    assert share == pytest.approx(12**2 * 27 / (12**2 * 27 + 12**2 * 144 + 6**2 * 144))
    assert executed(rounded.graph([first]), fused).fp32 == pytest.approx(share)
    assert written_census(encoder_of(rounded.graph([first]))).fp32 == pytest.approx(share)


def test_shares_of_multiply_adds_are_counted_from_the_graph(found: Calibration) -> None:
    shares = multiply_adds(found.model, found.layers)
    assert sum(shares.values()) == pytest.approx(1)
    for name, layer in found.layers.items():
        assert 0 < shares[name] <= 1, layer


@pytest.mark.parametrize(("bits", "most"), [(8, 127), (7, 63)])
def test_weights_use_their_bits_and_no_more(found: Calibration, bits: int, most: int) -> None:
    weights = round_model(found, Scheme(weight_bits=bits)).weights.values()
    assert max(np.abs(layer.integers).max() for layer in weights) == most


def test_the_tensorrt_file_is_signed_and_passes_the_preflight(
    fused: ModelProto, found: Calibration, written: ModelProto
) -> None:
    signed = round_model(found, Scheme(signed=True)).graph()
    assert preflight_findings(signed) == []
    assert written_census(encoder_of(signed), dense_layers(fused)).int8 == 1
    assert np.percentile(cosines(signed, fused), 1) > 0.998
    assert {finding.rule for finding in preflight_findings(written)} >= {"uint8_tensor"}


def test_a_layer_kept_in_float_runs_in_float(fused: ModelProto, rounded: RoundedModel) -> None:
    for name in rounded.weights:
        found = executed(rounded.graph([name]), fused)
        assert len(found.float_layers) == 1
        assert found.float_layers[0].startswith(name)
    all_float = rounded.graph(list(rounded.weights))
    assert len(executed(all_float, fused).float_layers) == len(rounded.weights)


def spoilt(rounded: RoundedModel, name: str) -> RoundedModel:
    """The model with one layer rounded to a handful of integers."""
    weights = rounded.weights[name]
    coarse = replace(weights, integers=(weights.integers // 48 * 48).astype(np.int8))
    return replace(rounded, weights={**rounded.weights, name: coarse})


def test_the_one_layer_that_does_harm_stays_in_float(
    fused: ModelProto, exact: RoundedModel
) -> None:
    harmful = list(exact.weights)[-1]
    model, rehearsal = spoilt(exact, harmful), Rehearsal(fused, OTHERS)
    assert rehearsal.trial(model.graph()).cosine_p1 < 0.99
    assert max(model.weights, key=lambda name: noise_share(model, name)) == harmful
    said: list[int] = []
    kept = choose_float_layers(model, rehearsal, 0.998, lambda _, done, __: said.append(done))
    assert [layer.layer for layer in kept] == [harmful]
    assert kept[0].cosine_gain > 0
    assert said[-1] == len(exact.weights)
    assert rehearsal.trial(model.graph([harmful])).cosine_p1 > 0.998


def test_no_layer_stays_in_float_where_none_needs_to_or_none_would_help(
    fused: ModelProto, exact: RoundedModel
) -> None:
    rehearsal = Rehearsal(fused, OTHERS)
    assert choose_float_layers(exact, rehearsal, 0.9, lambda *_: None) == ()
    assert choose_float_layers(exact, rehearsal, 1.0, lambda *_: None) == ()


def test_preprocessing_pooling_and_head_stay_in_float(
    found: Calibration, written: ModelProto
) -> None:
    region = encoder_region(found.model)
    inside = {*region.tensors()}
    for node in written.graph.node:
        if node.op_type == "QuantizeLinear":
            assert node.input[0] in inside


def test_values_that_only_move_share_their_grid() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]>'
        " g (uint8[N,1,4,4] cells) => (float[N,2] encodings) <int64[2] axes = {2, 3}>"
        " { scaled = Cast <to = 1> (cells) a = Relu (scaled) b = Sigmoid (scaled)"
        "   c = Concat <axis = 1> (a, b)"
        "   embedding = ReduceMean <keepdims = 0> (c, axes) encodings = Identity (embedding) }"
    )
    ranges = {
        "scaled": Range(low=0, high=255),
        "a": Range(low=-2, high=3),
        "b": Range(low=0, high=9),
        "c": Range(low=-2, high=9),
    }
    grids = grids_from_ranges(encoder_region(model), ranges, Scheme())
    assert grids["a"] == grids["b"] == grids["c"] == grid_from_range(ranges["c"], Scheme())
    assert grids["scaled"] == Grid(scale=1, zero_point=0)


@pytest.mark.parametrize("extent", [(-3, 7), (2, 7), (-7, -2), (0, 0)])
def test_zero_is_exact_on_every_grid(extent: tuple[float, float]) -> None:
    low, high = extent
    grid = grid_from_range(Range(low=low, high=high), Scheme())
    assert 0 <= grid.zero_point <= 255
    assert (0 - grid.zero_point) * grid.scale <= min(low, 0) + grid.scale
    assert (255 - grid.zero_point) * grid.scale >= max(high, 0) - grid.scale
    assert grid_from_range(Range(low=low, high=high), Scheme(signed=True)).zero_point == 0


def made_up_layer(weights: np.ndarray, bias: np.ndarray) -> Layer:
    node = onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"])
    return Layer(name="y", node=node, weights=weights, bias=bias, channels=0)


def test_rounding_lets_later_weights_make_up_for_earlier_ones() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(32, 8))
    x = np.maximum(rng.normal(size=(4000, 8)) @ mixing.T + 0.3 * rng.normal(size=(4000, 32)), 0)
    weights, bias = rng.normal(size=(16, 32, 1, 1)), rng.normal(size=16)
    rows = np.column_stack([x, np.ones(len(x))])
    moments = (rows.T @ rows / len(x))[None]
    expected = x @ weights[..., 0, 0].T + bias

    def error(moments: np.ndarray) -> np.ndarray:
        found = integer_weights(
            made_up_layer(weights, bias), Scheme(), Grid(scale=0.02, zero_point=0), moments
        )
        back = found.integers[..., 0, 0] * found.scales[:, None].astype(np.float64)
        return x @ back.T + found.bias - expected

    nearest = error(np.eye(33)[None])
    ours = error(moments)
    assert (ours**2).mean() < (nearest**2).mean() / 3
    assert np.abs(ours.mean(axis=0)).max() < 1e-3 < np.abs(nearest.mean(axis=0)).max()


def test_a_product_without_bias_puts_no_error_into_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 12)) + 2
    rows = np.column_stack([x, np.ones(len(x))])
    moments = (rows.T @ rows / len(x))[None]
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = rng.normal(size=(12, 6))
    layer = Layer(name="y", node=node, weights=weights, bias=np.zeros(6), channels=1)
    found = integer_weights(layer, Scheme(weight_bits=5), Grid(scale=0.02, zero_point=0), moments)
    back = found.integers * found.scales.astype(np.float64)
    nearest = np.rint(weights / found.scales) * found.scales
    assert np.abs(found.bias).max() == 0
    assert ((x @ (back - weights)) ** 2).mean() < ((x @ (nearest - weights)) ** 2).mean() / 2


def test_between_the_first_and_the_last_quantiser_all_runs_in_integers(
    rounded: RoundedModel, tmp_path: Path
) -> None:
    options = session_options()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    session_from(encoder_of(rounded.graph()), options)
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    (entry,) = [n for n in nodes if n.op_type == "QuantizeLinear"]
    inside, floats = set(entry.output), []
    for node in nodes:
        if inside.intersection(node.input) and node.op_type != "DequantizeLinear":
            inside.update(node.output)
            kind = node.op_type.removeprefix("Nhwc")
            if not kind.startswith("QLinear") and kind not in PASSING:
                floats.append(node.op_type)
    assert floats == []


def test_a_channel_without_weights_keeps_its_bias() -> None:
    weights, bias = np.zeros((2, 3, 1, 1)), np.array([5.0, 0.0])
    weights[1] = 0.5
    grid = Grid(scale=0.02, zero_point=0)
    found = integer_weights(made_up_layer(weights, bias), Scheme(), grid, np.eye(4)[None])
    in_int32 = found.bias / (grid.scale * found.scales.astype(np.float64))
    assert np.abs(in_int32).max() < 2**31 - 1
    assert np.rint(in_int32[0]) * grid.scale * found.scales[0] == pytest.approx(5, rel=1e-6)


def test_quantised_weights_are_where_onnx_looks_for_them(written: ModelProto) -> None:
    graph = written.graph
    kinds = {t.name: numpy_helper.to_array(t).dtype for t in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        if node.op_type == "Conv":
            assert kinds[makers[node.input[1]].input[0]] == np.int8
        if node.op_type == "Conv" and len(node.input) == 3:  # a mean has no bias
            assert kinds[makers[node.input[2]].input[0]] == np.int32
