"""Graphs under construction keep what they promise: standard operators, our opset, no remarks."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from export.graph import IR_VERSION, OPSET, GraphBuilder, between, standard_model, tensor
from vexas_edge.errors import InputError
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")

FLOAT = TensorProto.FLOAT


def chain() -> onnx.ModelProto:
    graph = GraphBuilder()
    doubled = graph.rename(graph.node("Add", "x", "x"), "doubled")
    graph.node("Exp", "x")  # leads nowhere
    graph.constant(3.0, np.float32)  # used by nothing
    graph.node("Neg", graph.node("Identity", doubled), output="y")
    return graph.model("chain", [tensor("x", FLOAT, ["N"])], [tensor("y", FLOAT, ["N"])])


def test_a_finished_model_has_no_dead_node_no_identity_and_our_versions() -> None:
    model = chain()
    assert [node.op_type for node in model.graph.node] == ["Add", "Neg"]
    assert not model.graph.initializer
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert model.ir_version == IR_VERSION


def test_a_part_between_inner_tensors_runs_alone() -> None:
    part = between(chain(), ["doubled"], ["y"])
    session = onnxruntime.InferenceSession(part.SerializeToString())
    (found,) = session.run(None, {"doubled": np.array([1, 2], np.float32)})
    np.testing.assert_array_equal(found, [-1, -2])


def test_an_older_opset_is_brought_to_ours_with_the_same_numbers() -> None:
    old = parser.parse_model(
        '<ir_version: 7, opset_import: ["" : 11]> g (float[N,4] x) => (float[N,1] y)'
        " { y = ReduceSum <axes = [1], keepdims = 1> (x) }"
    )
    new = standard_model(old, "old.onnx")
    assert new.opset_import[0].version == OPSET
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    (found,) = onnxruntime.InferenceSession(new.SerializeToString()).run(None, {"x": x})
    np.testing.assert_array_equal(found, [[6], [22]])


def test_operators_that_are_converted_are_judged_by_what_they_become() -> None:
    old = parser.parse_model(
        '<ir_version: 4, opset_import: ["" : 9]> g (float[1,1,2,2] x) => (float[1,1,4,4] y)'
        " <float[4] scales = {1.0, 1.0, 2.0, 2.0}> { y = Upsample (x, scales) }"
    )
    assert [node.op_type for node in standard_model(old, "old.onnx").graph.node][-1] == "Resize"


def test_operators_that_no_bundle_may_have_are_refused_by_name() -> None:
    odd = parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> g (float[N] x) => (int64[1,M] y)'
        " { y = NonZero (x) }"
    )
    with pytest.raises(InputError, match="odd.onnx uses operators that no .* may: NonZero"):
        standard_model(odd, "odd.onnx")


def test_a_models_own_functions_are_inlined_where_nothing_else_imported_the_inliner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(onnx, "inliner", raising=False)
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18, "own" : 1]>'
        " g (float[N,2] x) => (float[N,2] y) { y = own.twice (x) }"
        ' <domain: "own", opset_import: ["" : 18]> twice (a) => (b) { b = Add (a, a) }'
    )
    assert [node.op_type for node in standard_model(model, "own.onnx").graph.node] == ["Add"]


def test_operators_of_another_domain_are_refused_by_name() -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    graph = helper.make_graph([node], "g", [tensor("x", FLOAT, [1])], [tensor("y", FLOAT, [1])])
    with pytest.raises(InputError, match="pn.onnx uses operators.*com.microsoft::Gelu"):
        standard_model(helper.make_model(graph), "pn.onnx")


def test_paths_of_the_exporting_machine_do_not_travel() -> None:
    model = chain()
    model.graph.node[0].doc_string = "/home/someone/train.py"
    model.graph.node[1].metadata_props.add(key="stack_trace", value="/home/someone/nets.py")
    assert b"someone" not in standard_model(model, "chain").SerializeToString()
