"""A bundle's graphs use listed operators, and nothing from outside their file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser
from tiny import Ended, case_files, rewritten, write_case

from vexas_edge.bundle.operators import OPERATORS, check_operators

HEAD = "models/neutrophil/head.onnx"


def model(node: str = "y = Neg (x)", imports: str = '"" : 18') -> onnx.ModelProto:
    return parser.parse_model(
        f"<ir_version: 10, opset_import: [{imports}]> g (float[N] x) => (float[N] y) {{ {node} }}"
    )


def problem_of(found: onnx.ModelProto) -> str:
    with pytest.raises(ValueError) as refused:
        check_operators(found.SerializeToString())
    return str(refused.value)


def with_attribute(attribute: onnx.AttributeProto) -> onnx.ModelProto:
    found = model()
    found.graph.node[0].attribute.append(attribute)
    return found


def outside(place: str = "/etc/hostname") -> onnx.TensorProto:
    """A constant that lies in another file."""
    tensor = TensorProto(name="c", dims=[1], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return tensor


def sparse() -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(np.ones(1, np.float32), "c")
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64)), [4])


def test_listed_operators_are_the_standards_and_not_of_control_flow() -> None:
    standard = {s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain == ""}
    assert standard > OPERATORS
    assert OPERATORS.isdisjoint({"If", "Loop", "Scan", "SequenceMap", "LSTM", "NonZero", "Unique"})
    check_operators(model().SerializeToString())
    check_operators(model("y = ai.onnx.Neg (x)").SerializeToString())


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (model("i = NonZero (x)  y = Neg (x)"), "it uses the operator 'NonZero'"),
        (model("y = RandomNormalLike (x)"), "it uses the operator 'RandomNormalLike'"),
        (
            model("y = com.microsoft.Neg (x)", '"" : 18, "com.microsoft" : 1'),
            "it uses an operator of the domain 'com.microsoft'",
        ),
        (
            with_attribute(helper.make_attribute("body", model().graph)),
            "it has a graph inside an operator",
        ),
        (
            with_attribute(helper.make_attribute("bodies", [model().graph])),
            "it has a graph inside an operator",
        ),
        (
            with_attribute(helper.make_attribute("value", outside())),
            "it takes constants from other files",
        ),
        (
            with_attribute(helper.make_attribute("values", [outside()])),
            "it takes constants from other files",
        ),
        (
            with_attribute(helper.make_attribute("sparse_value", sparse())),
            "it has sparse constants",
        ),
    ],
)
def test_anything_else_is_refused_by_name(found: onnx.ModelProto, problem: str) -> None:
    assert problem_of(found) == f"{problem}, which no graph of a bundle may"


def test_control_flow_is_refused() -> None:
    loop = helper.make_node("Loop", ["", "go", "x"], ["y"], body=model().graph)
    found = model()
    found.graph.node.append(loop)
    assert problem_of(found).startswith("it uses the operator 'Loop'")


def test_constants_outside_the_file_and_functions_are_refused() -> None:
    found = model()
    found.graph.initializer.append(outside())
    assert problem_of(found).startswith("it takes constants from other files")
    found = model()
    found.graph.sparse_initializer.append(sparse())
    assert problem_of(found).startswith("it has sparse constants")
    found = model()
    found.functions.append(helper.make_function("", "f", ["a"], ["b"], [], []))
    assert problem_of(found).startswith("it defines functions")


def test_a_graph_in_two_parts_is_checked_in_both() -> None:
    # Protobuf reads a message that comes twice as one.
    two = model().SerializeToString() + model("y = NonZero (x)").SerializeToString()
    with pytest.raises(ValueError, match="NonZero"):
        check_operators(two)


@pytest.mark.parametrize(
    "content",
    [
        model().SerializeToString()[:-3],
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",  # a length without end
        b"\x3a\xff\xff\xff\xff\x0f",  # 4 GiB of a graph
        b"\x3b\x3c",  # groups, which ONNX does not have
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_what_is_no_onnx_file_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="it is not an? (whole )?ONNX file"):
        check_operators(content)


def test_a_graph_of_too_many_parts_is_not_read_to_its_end() -> None:
    with pytest.raises(ValueError, match="it has over 500000 parts"):
        check_operators(b"\x08\x00" * 600_000)


def test_a_bundle_of_such_a_graph_scores_nothing(
    vexas_edge: Callable[..., Ended], tiny_bundle: Path, tmp_path: Path
) -> None:
    found = model()
    found.graph.initializer.append(outside())
    hostile = rewritten(tiny_bundle, tmp_path / "b.vxb", {HEAD: found.SerializeToString()})
    out = tmp_path / "out"
    ended = vexas_edge(
        "score", write_case(tmp_path / "A", neutrophil=8), "--bundle", hostile, "-o", out
    )
    assert ended.status == 6
    assert (
        f"{hostile}: head.onnx of model 'neutrophil' cannot be used: it takes constants from other "
        "files, which no graph of a bundle may; ask who made the bundle to export it again"
    ) in ended.err
    assert not (out / "cases").exists() or not case_files(out)


def with_high_key(content: bytes, field: int, more: int) -> bytes:
    """The model with a bit of a field's key that some readers drop; the field is of one byte."""
    key = field << 3 | 2
    at = content.index(bytes([key]))
    number, coded = key | more, bytearray()
    while number > 0x7F:
        coded.append(number & 0x7F | 0x80)
        number >>= 7
    return content[:at] + bytes(coded) + bytes([number]) + content[at + 1 :]


@pytest.mark.parametrize("more", [1 << 32, 1 << 33, 1 << 62])
def test_a_key_that_readers_take_for_another_is_refused(more: int) -> None:
    hidden = with_high_key(model("y = NonZero (x)").SerializeToString(), 7, more)
    with pytest.raises(ValueError, match="it is not an ONNX file"):
        check_operators(hidden)


def test_a_file_of_another_format_is_refused_whatever_else_it_is() -> None:
    content = model().SerializeToString()
    with pytest.raises(ValueError, match="it is not an ONNX file"):
        check_operators(content[:2] + b"\x32\x04ORTM" + content[2:])


@pytest.mark.parametrize("content", [b"", b"\x08\x0a", b"\x02\x01a" + model().SerializeToString()])
def test_a_file_without_a_graph_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="it is not an ONNX file"):
        check_operators(content)
