"""Each thing that TensorRT 11 would refuse is planted alone, and named alone."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import ModelProto, numpy_helper, parser

from calibration.cli import cli
from calibration.proof.preflight import preflight_findings

HEADER = '<ir_version: 10, opset_import: ["" : 18]>'

SOUND = f"""{HEADER} sound (uint8[N,8,8,3] cells) => (float[N,4] encodings)
<float s = {{0.1}}, int8 z = {{0}},
 float[4] ws = {{0.1, 0.2, 0.3, 0.4}}, int8[4] wz = {{0, 0, 0, 0}},
 int64[2] axes = {{2, 3}}>
{{
    image = Cast <to = 1> (cells)
    pixels = Transpose <perm = [0, 3, 1, 2]> (image)
    q = QuantizeLinear (pixels, s, z)
    dq = DequantizeLinear (q, s, z)
    w = DequantizeLinear <axis = 0> (weights, ws, wz)
    y = Conv (dq, w, bias)
    encodings = ReduceMean <keepdims = 0> (y, axes)
}}"""


def sound_model() -> ModelProto:
    return with_weights(parser.parse_model(SOUND))


def with_weights(model: ModelProto) -> ModelProto:
    constants: dict[str, np.ndarray] = {
        "weights": np.ones((4, 3, 3, 3), np.int8),
        "bias": np.ones(4, np.float32),
    }
    for name, values in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return model


def rules(model: ModelProto) -> set[str]:
    return {finding.rule for finding in preflight_findings(model)}


def test_a_sound_quantised_graph_has_no_finding() -> None:
    onnx.checker.check_model(sound_model(), full_check=True)
    assert preflight_findings(sound_model()) == []


CAST = "image = Cast <to = 1> (cells)"
CONV = "y = Conv (dq, w, bias)"
MEAN = "encodings = ReduceMean <keepdims = 0> (y, axes)"

# What to write instead of what, so that the graph has the one fault.
FAULTS = {
    "integer_operator": {CONV: "i = ConvInteger (q, weights) y = Cast <to = 1> (i)"},
    "zero_point": {"int8 z = {0}": "int8 z = {3}"},
    "uint8_quantiser": {
        "int8 z = {0}": "uint8 z = {0}",
        "q = QuantizeLinear (pixels, s, z)": "",
        "dq = DequantizeLinear (q, s, z)": "q = Cast <to = 2> (pixels) dq = Cast <to = 1> (q)"
        " e = QuantizeLinear (dq, s, z) f = DequantizeLinear (e, s, z)",
    },
    "uint8_tensor": {CAST: "c = Identity (cells) image = Cast <to = 1> (c)"},
    "quantised_bias": {
        "y = Conv (dq, w, bias)": "b = Cast <to = 6> (bias) c = DequantizeLinear (b, s)"
        " y = Conv (dq, w, c)"
    },
    "weight_axis": {"w = DequantizeLinear <axis = 0>": "w = DequantizeLinear <axis = 1>"},
    "per_channel_activation": {
        "<float s": "<float[3] cs = {1.0, 2.0, 3.0}, int8[3] cz = {0, 0, 0}, float s",
        "q = QuantizeLinear (pixels, s, z)": "q = QuantizeLinear <axis = 1> (pixels, cs, cz)",
        "dq = DequantizeLinear (q, s, z)": "dq = DequantizeLinear <axis = 1> (q, cs, cz)",
    },
    "dynamic_scale": {
        "q = QuantizeLinear (pixels, s, z)": "t = Abs (s) q = QuantizeLinear (pixels, t, z)"
    },
    "topk_size": {
        "int64[2] axes": "int64[1] k = {4000}, int64[2] axes",
        MEAN: "t, i = TopK <axis = 3> (y, k) encodings = ReduceMean <keepdims = 0> (t, axes)",
    },
    "topk_unsorted": {
        "int64[2] axes": "int64[1] k = {2}, int64[2] axes",
        MEAN: "t, i = TopK <axis = 3, sorted = 0> (y, k)"
        " encodings = ReduceMean <keepdims = 0> (t, axes)",
    },
    "float64": {
        MEAN: "d = Cast <to = 11> (y) e = ReduceMean <keepdims = 0> (d, axes)"
        " encodings = Cast <to = 1> (e)"
    },
    "dynamic_space": {"uint8[N,8,8,3]": "uint8[N,H,W,3]"},
    "opset": {'"" : 18': '"" : 26'},
    "foreign_opset": {'["" : 18]': '["" : 18, "ai.onnx.ml" : 3]'},
    "foreign_operator": {MEAN: "g = com.microsoft.QuickGelu (y) encodings = Flatten (g)"},
    "unsupported_operator": {
        MEAN: "encodings = ReduceMean <keepdims = 0> (y, axes) u = NonZero (encodings)"
    },
    "quantised_pooling": {
        MEAN: "p = ReduceMean <keepdims = 0> (y, axes) r = QuantizeLinear (p, s, z)"
        " encodings = DequantizeLinear (r, s, z)"
    },
    "quantised_head": {
        MEAN: f"{MEAN} r = QuantizeLinear (encodings, s, z)"
        " probabilities = DequantizeLinear (r, s, z)"
    },
    "mixed_floats": {
        MEAN: "h = Cast <to = 10> (y) m = Add (h, y)"
        " encodings = ReduceMean <keepdims = 0> (m, axes)"
    },
}


@pytest.mark.parametrize("rule", FAULTS)
def test_a_planted_fault_is_named(rule: str) -> None:
    text = SOUND
    for old, new in FAULTS[rule].items():
        assert old in text
        text = text.replace(old, new)
    assert rule in rules(with_weights(parser.parse_model(text)))


@pytest.mark.parametrize("rule", sorted(set(FAULTS) - {"uint8_quantiser"}))
def test_a_planted_fault_is_the_only_one_named(rule: str) -> None:
    text = SOUND
    for old, new in FAULTS[rule].items():
        text = text.replace(old, new)
    assert rules(with_weights(parser.parse_model(text))) == {rule}


@pytest.mark.parametrize(
    ("rule", "new"),
    [
        (
            "quantised_pooling",
            "p = GlobalAveragePool (y) f = Flatten (p) r = QuantizeLinear (f, s, z)"
            " encodings = DequantizeLinear (r, s, z)",
        ),
        (
            "quantised_head",
            f"{MEAN} hw = DequantizeLinear (headweights, s, z) decisions = MatMul (encodings, hw)",
        ),
    ],
)
def test_faults_behind_a_reshape_or_in_weights_alone_are_named(rule: str, new: str) -> None:
    model = with_weights(parser.parse_model(SOUND.replace(MEAN, new)))
    head = np.ones((4, 2), np.int8)
    model.graph.initializer.append(numpy_helper.from_array(head, "headweights"))
    assert rules(model) == {rule}


@pytest.mark.parametrize("axis", [0, -4])
def test_an_axis_may_be_counted_from_the_end(axis: int) -> None:
    text = SOUND.replace("<axis = 0>", f"<axis = {axis}>")
    assert rules(with_weights(parser.parse_model(text))) == set()


def test_a_scale_in_a_constant_node_is_constant() -> None:
    text = SOUND.replace("q = Quant", "c = Constant <value = float {0.1}> () q = Quant")
    text = text.replace("(pixels, s, z)", "(pixels, c, z)").replace("(q, s, z)", "(q, c, z)")
    assert rules(with_weights(parser.parse_model(text))) == set()


def test_the_command_names_each_finding_and_its_remedy(tmp_path: Path) -> None:
    faulty = with_weights(parser.parse_model(SOUND.replace("int8 z = {0}", "int8 z = {3}")))
    onnx.save(faulty, tmp_path / "faulty.onnx")
    onnx.save(sound_model(), tmp_path / "sound.onnx")
    (tmp_path / "text.onnx").write_text("no graph")
    ended = {
        name: CliRunner().invoke(cli, ["preflight", str(tmp_path / name)], standalone_mode=False)
        for name in ("sound.onnx", "faulty.onnx", "text.onnx")
    }
    assert ended["sound.onnx"].return_value == 0
    assert ended["faulty.onnx"].return_value == 4
    assert "zero_point: " in ended["faulty.onnx"].stdout
    assert "quantise symmetrically" in ended["faulty.onnx"].stdout
    assert "text.onnx is not a readable ONNX file" in str(ended["text.onnx"].exception)
