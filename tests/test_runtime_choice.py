"""The graph that runs is the cheapest that was tested and suits this PC; the result says why."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibration.additions import NewGraph, add_graphs
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.graphs import FUSED
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import abilities_of
from vexas_edge.errors import HostError
from vexas_edge.runtime import choice as precision
from vexas_edge.runtime.choice import choose_graph
from vexas_edge.runtime.session import Sessions

CPU = EngineOptions(device="cpu")
MODELS = ("neutrophil", "monocyte", "lymphocyte")


@pytest.fixture(params=[True, False])
def vnni(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(precision, "has_vnni", lambda: request.param)
    return request.param


def with_graphs(bundle: Path, to: Path, *files: str, tested: bool = True) -> Path:
    """The bundle whose models have further graphs, copies of the reference."""
    opened = open_bundle(bundle)
    graphs = [
        NewGraph(
            model=model,
            file=file,
            content=opened.model_file(model, FUSED),
            measured={"gate": {}} if tested else {},
            tested=tested,
        )
        for model in opened.manifest.models
        for file in files
    ]
    add_graphs(opened, graphs, to)
    return to


def manifest_with(bundle: Path, folder: Path, *files: str, tested: bool = True) -> Manifest:
    return open_bundle(with_graphs(bundle, folder / "b.vxb", *files, tested=tested)).manifest


def test_auto_takes_the_int8_graph_of_this_cpu(
    tiny_bundle: Path, tmp_path: Path, vnni: bool
) -> None:
    both = ("fused.int8.onnx", "fused.int8-rr.onnx")
    chosen = choose_graph(manifest_with(tiny_bundle, tmp_path, *both), "auto", CPU)
    assert (chosen.precision, chosen.file) == ("int8", both[0] if vnni else both[1])
    assert ("with VNNI" if vnni else "without VNNI") in chosen.reason


def test_auto_takes_float32_where_the_suitable_graph_is_not_there(
    tiny_bundle: Path, tmp_path: Path, vnni: bool
) -> None:
    other = "fused.int8-rr.onnx" if vnni else "fused.int8.onnx"
    chosen = choose_graph(manifest_with(tiny_bundle, tmp_path, other), "auto", CPU)
    assert (chosen.precision, chosen.file) == ("fp32", FUSED)
    assert chosen.reason == (
        f"model 'neutrophil' has no fused.{'int8' if vnni else 'int8-rr'}.onnx"
    )


def test_an_untested_graph_is_never_chosen_and_refused_when_asked_for(
    tiny_bundle: Path, tmp_path: Path, vnni: bool
) -> None:
    file = "fused.int8.onnx" if vnni else "fused.int8-rr.onnx"
    manifest = manifest_with(tiny_bundle, tmp_path, file, tested=False)
    chosen = choose_graph(manifest, "auto", CPU)
    assert chosen.precision == "fp32"
    assert "is untested" in chosen.reason
    with pytest.raises(HostError, match=f"{file} of model 'neutrophil' is untested: no gate"):
        choose_graph(manifest, "int8", CPU)


def test_a_graph_without_figures_of_a_gate_is_untested_whatever_it_says(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = with_graphs(tiny_bundle, tmp_path / "b.vxb", precision.int8_file())
    manifest = open_bundle(bundle).manifest
    models = {
        name: msgspec.structs.replace(
            model,
            files={f: msgspec.structs.replace(e, measured={}) for f, e in model.files.items()},
        )
        for name, model in manifest.models.items()
    }
    bare = msgspec.structs.replace(manifest, models=models)
    assert choose_graph(bare, "auto", CPU).precision == "fp32"


def test_float16_is_refused_on_a_cpu(tiny_bundle: Path, tmp_path: Path) -> None:
    manifest = manifest_with(tiny_bundle, tmp_path, "fused.fp16.onnx")
    with pytest.raises(HostError, match="a float16 graph is for a GPU"):
        choose_graph(manifest, "fp16", CPU)


def test_on_a_gpu_int8_for_the_cpu_is_refused_and_float16_runs_on_request(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "device_of", lambda _: "cuda")
    manifest = manifest_with(tiny_bundle, tmp_path, "fused.fp16.onnx", "fused.int8.onnx")
    assert choose_graph(manifest, "fp16", EngineOptions()).file == "fused.fp16.onnx"
    assert choose_graph(manifest, "auto", EngineOptions()).precision == "fp32"
    with pytest.raises(HostError, match="are for the CPU; use --device cpu"):
        choose_graph(manifest, "int8", EngineOptions())


def test_the_result_says_which_graph_ran_and_why(
    tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    file = precision.int8_file()
    bundle = open_bundle(with_graphs(tiny_bundle, tmp_path / "b.vxb", file))
    cheap = score_case(read_case(tiny_case), bundle)
    with Sessions(bundle, precision="fp32") as sessions:
        exact = score_case(read_case(tiny_case), bundle, sessions)
    assert cheap.run
    assert exact.run
    assert (cheap.run.precision, exact.run.precision) == ("int8", "fp32")
    assert cheap.run.choice_reason.startswith(f"{file}, tested for every model")
    assert exact.run.choice_reason.startswith("asked for; not prepared: never done")
    as_int8, as_fp32 = (
        [model.score or np.nan for model in result.models] for result in (cheap, exact)
    )
    np.testing.assert_array_equal(as_int8, as_fp32)  # the same graph by another name


def test_an_engine_that_runs_float32_alone_is_given_float32(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abilities = replace(abilities_of("openvino"), graphs={"cpu": {"fp32": "fp32"}})
    monkeypatch.setattr(precision, "abilities_of", lambda _: abilities)
    manifest = manifest_with(tiny_bundle, tmp_path, "fused.int8.onnx", "fused.int8-rr.onnx")
    options = EngineOptions(engine="openvino")
    assert choose_graph(manifest, "auto", options).precision == "fp32"
    with pytest.raises(HostError, match="openvino does not run graphs in int8; use --precision"):
        choose_graph(manifest, "int8", options)
