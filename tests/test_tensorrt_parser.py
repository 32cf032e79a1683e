"""`preflight` and TensorRT's own parser agree on what the parser refuses, in both directions."""

import pytest
from onnx import ModelProto, defs, parser
from rtx import knows_operator, parsed
from test_calibration_preflight import CAST, CONV, FAULTS, MEAN, SOUND, sound_model, with_weights

from calibration.proof.operators import UNSUPPORTED_OPERATORS
from calibration.proof.preflight import preflight_findings

# More of what may stand in a graph, beside the planted faults.
OTHERS: dict[str, dict[str, str]] = {
    "as it is": {},
    "an operator of ai.onnx.ml": {
        MEAN: "g = ai.onnx.ml.Scaler <offset = [0.0], scale = [1.0]> (y) encodings = Flatten (g)"
    },
    "an operator of another domain that has a standard one's name": {
        MEAN: "g = com.microsoft.Gelu (y) encodings = Flatten (g)"
    },
    "a fused operator": {MEAN: "g = com.microsoft.FusedMatMul (y, y) encodings = Flatten (g)"},
    "a convolution of integers": {
        CONV: "i = QLinearConv (q, s, z, weights, ws, wz, s, z) y = Cast <to = 1> (i)"
    },
    "a convolution of two float types": {CONV: "h = Cast <to = 10> (dq) y = Conv (h, w, bias)"},
    "a quotient of two float types": {
        MEAN: "h = Cast <to = 10> (y) m = Div (y, h)"
        " encodings = ReduceMean <keepdims = 0> (m, axes)"
    },
    "bfloat16": {
        MEAN: "h = Cast <to = 16> (y) m = Relu (h) f = Cast <to = 1> (m)"
        " encodings = ReduceMean <keepdims = 0> (f, axes)"
    },
    "a K that is computed": {
        "int64[2] axes": "int64[1] k0 = {1}, int64[2] axes",
        MEAN: "k = Abs (k0) t, i = TopK <axis = 3> (y, k)"
        " encodings = ReduceMean <keepdims = 0> (t, axes)",
    },
    "a shift of bits": {CAST: "b = BitwiseNot (cells) image = Cast <to = 1> (b)"},
}


def graph_with(changes: dict[str, str]) -> ModelProto:
    text = SOUND
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return with_weights(parser.parse_model(text))


GRAPHS = {**FAULTS, **OTHERS}


def test_there_are_graphs_enough_of_both_kinds() -> None:
    refused = [name for name, changes in GRAPHS.items() if parsed(graph_with(changes)).errors]
    assert len(GRAPHS) >= 25
    assert 10 <= len(refused) <= len(GRAPHS) - 10


@pytest.mark.parametrize("name", GRAPHS)
def test_the_parser_refuses_what_preflight_says_that_it_refuses(name: str) -> None:
    model = graph_with(GRAPHS[name])
    said = [finding for finding in preflight_findings(model) if finding.by == "parser"]
    found = parsed(model).errors
    assert bool(said) == bool(found), (said, found)


def test_operators_that_the_parser_does_not_know_are_listed() -> None:
    names = {schema.name for schema in defs.get_all_schemas_with_history() if schema.domain == ""}
    unknown = {name for name in names if not knows_operator(name)}
    assert unknown == UNSUPPORTED_OPERATORS - {"NonZero"}


def test_a_sound_graph_keeps_its_inputs_and_outputs() -> None:
    network = parsed(sound_model()).network
    assert [network.get_input(0).name, network.get_output(0).name] == ["cells", "encodings"]
    assert network.num_inputs == network.num_outputs == 1
