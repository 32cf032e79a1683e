"""TensorRT for RTX builds plans of our graphs, which needs no GPU, and they compute as they should.

No plan is run here: that needs a GPU.
"""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from network_graphs import DEMO, FORMS, NETWORKS, reference_graph
from onnx import ModelProto
from tensorrt_plans import options_for
from test_calibration_preflight import FAULTS, sound_model
from test_tensorrt_parser import graph_with

from vexas_edge.choices import PRECISIONS, Precision
from vexas_edge.engines.contract import EngineOptions, RowGroup
from vexas_edge.errors import HostError
from vexas_edge.host import cache

pytest.importorskip("tensorrt_rtx_bindings")

from vexas_edge.engines.tensorrt import build_for_all_gpus, library
from vexas_edge.engines.tensorrt.build import Built, plan_from_graph
from vexas_edge.engines.tensorrt.keeping import keep_plan, kept_plan
from vexas_edge.engines.tensorrt.plans import KINDS, PlanFor

TURING, NEWER = KINDS
CANVAS_PX = 80
SOUND_ROWS = (RowGroup(tensors=frozenset({"cells", "encodings"}), most=8, block=8),)
SOUND_OPTIONS = EngineOptions(engine="tensorrt", rows=SOUND_ROWS)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def plans_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("tensorrt-plan-*.entry"))


# The networks


@pytest.fixture(scope="module", params=NETWORKS)
def forms(request: pytest.FixtureRequest) -> dict[Precision, ModelProto]:
    """The graphs of a network, by what they compute in."""
    reference = reference_graph(request.param, CANVAS_PX)
    return {precision: FORMS[precision](reference) for precision in PRECISIONS}


def n_convolutions(graph: ModelProto) -> int:
    return sum(node.op_type == "Conv" for node in graph.graph.node)


def built(graph: ModelProto, capabilities: tuple[str, ...]) -> Built:
    return plan_from_graph(graph.SerializeToString(), options_for(graph), capabilities)


def test_each_network_builds_for_newer_gpus_and_computes_in_what_its_graph_says(
    forms: dict[Precision, ModelProto],
) -> None:
    for precision, graph in forms.items():
        plan = built(graph, NEWER)
        found = [layer.takes for layer in plan.layers if layer.kind == "convolution"]
        assert found == [precision] * n_convolutions(graph)
        # Constants are not written out for each of the 128 rows that a call may have.
        assert len(plan.plan) < 1.1 * graph.ByteSize() + 35e6


def test_each_network_builds_for_turing_except_in_integers(
    forms: dict[Precision, ModelProto],
) -> None:
    for precision, graph in forms.items():
        layers = built(graph, TURING).layers
        found = {layer.takes for layer in layers if layer.kind == "convolution"}
        assert found == {"fp32" if precision == "int8" else precision}


# Building


@pytest.fixture(scope="module")
def demo() -> ModelProto:
    return reference_graph(DEMO, CANVAS_PX)


def test_a_plan_for_all_gpus_at_once_would_multiply_integers_in_float(demo: ModelProto) -> None:
    layers = built(FORMS["int8"](demo), (*TURING, *NEWER)).layers
    assert {layer.takes for layer in layers if layer.kind == "convolution"} == {"fp32"}


def test_one_call_keeps_the_plans_of_both_kinds_of_gpus(demo: ModelProto, own_cache: Path) -> None:
    said: list[str] = []
    graph, options = demo.SerializeToString(), replace(options_for(demo), report=said.append)
    assert build_for_all_gpus(graph, options) == 2
    assert [line.split(",")[0] for line in said] == [
        "built for GPUs of 7.5",
        "built for GPUs of 8.0",
    ]
    assert all("convolutions: fp32 17; products: none" in line for line in said)
    kept = {plan: plan.stat().st_mtime_ns for plan in plans_in(own_cache)}
    assert len(kept) == 2
    assert build_for_all_gpus(graph, options) == 2
    assert {plan: plan.stat().st_mtime_ns for plan in plans_in(own_cache)} == kept


def test_integers_are_left_out_for_turing_and_this_is_said(
    demo: ModelProto, own_cache: Path
) -> None:
    said: list[str] = []
    graph = FORMS["int8"](demo)
    options = replace(options_for(demo), precision="int8", report=said.append)
    assert build_for_all_gpus(graph.SerializeToString(), options) == 1
    assert said[0].startswith("for GPUs of 7.5: left out: the TensorRT engine was built for int8, ")
    assert "convolutions compute in fp32 17" in said[0]
    assert said[1].endswith("convolutions: int8 17; products: none; kernels that round to int8: 17")
    assert len(plans_in(own_cache)) == 1


def test_a_graph_that_is_not_in_the_precision_asked_for_is_not_kept(
    demo: ModelProto, own_cache: Path
) -> None:
    options = replace(options_for(demo), precision="fp16")
    with pytest.raises(HostError, match="built for fp16, but its convolutions compute in fp32 17"):
        build_for_all_gpus(demo.SerializeToString(), options)
    assert plans_in(own_cache) == []


def test_a_plan_is_found_by_its_graph_library_and_gpus(demo: ModelProto) -> None:
    wanted = PlanFor(library=library.NAME, capabilities=NEWER)
    graph, options = demo.SerializeToString(), options_for(demo)
    assert kept_plan(graph, options, wanted).missed == "never done on this PC"
    plan = built(demo, NEWER)
    keep_plan(graph, options, wanted, plan.plan, plan.layers)
    assert kept_plan(graph, options, wanted).content == plan.plan
    other = replace(wanted, library="TensorRT for RTX 2.0")
    missed = kept_plan(graph, options, other).missed
    assert missed == f"done on this PC with library {library.NAME}, now TensorRT for RTX 2.0"


@pytest.mark.parametrize("capability", [capability for kind in KINDS for capability in kind])
def test_the_library_knows_each_gpu_by_the_name_it_is_given(capability: str) -> None:
    graph = sound_model().SerializeToString()
    assert plan_from_graph(graph, SOUND_OPTIONS, (capability,)).plan


def test_the_parsers_errors_are_told() -> None:
    graph = graph_with(FAULTS["integer_operator"]).SerializeToString()
    with pytest.raises(HostError) as refused:
        build_for_all_gpus(graph, SOUND_OPTIONS)
    told = str(refused.value)
    assert told.startswith(f"{library.NAME} does not accept the graph: ")
    assert "`vexas-workshop calibrate preflight` says what it refuses" in told


def test_a_graph_that_reads_another_file_is_refused() -> None:
    with pytest.raises(HostError, match="tensorrt was given a graph that refers to another file"):
        build_for_all_gpus(b"\x0a\x08location", SOUND_OPTIONS)


def test_a_graph_with_two_free_sizes_is_refused() -> None:
    model = sound_model()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "H"
    with pytest.raises(HostError, match=r"with the input cells \(-1, -1, .*; expected a first"):
        plan_from_graph(model.SerializeToString(), SOUND_OPTIONS, NEWER)


def test_ctrl_c_ends_a_build_at_its_next_step(
    demo: ModelProto, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vexas_edge.engines.tensorrt import build

    class Interrupted(build._Monitor):
        def phase_start(self, *given: Any) -> None:
            super().phase_start(*given)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(build, "_Monitor", Interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        build_for_all_gpus(demo.SerializeToString(), options_for(demo))
    assert signal.getsignal(signal.SIGINT) is before
    assert plans_in(own_cache) == []


def test_a_build_outside_the_main_thread_leaves_signals_alone(demo: ModelProto) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(built, demo, NEWER).result().plan


def test_progress_is_reported(demo: ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    from vexas_edge.engines.tensorrt import build

    monkeypatch.setattr(build, "_SECONDS_PER_LINE", 0.0)
    said: list[str] = []
    options = replace(options_for(demo), report=said.append)
    plan_from_graph(demo.SerializeToString(), options, NEWER)
    assert said
    assert all(line.startswith("building: ") and " of " in line for line in said)


# The commands
