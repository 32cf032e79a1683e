"""What `prepare` measures and remembers, and that `score` runs that and nothing else."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from test_runtime_selftest import with_golden
from tiny import Ended, library_or_skip

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.graphs import FUSED
from vexas_edge.engines import openvino
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import packages_that_count
from vexas_edge.errors import HostError
from vexas_edge.host import cache
from vexas_edge.host.facts import this_host
from vexas_edge.runtime import choice as choosing
from vexas_edge.runtime import prepare
from vexas_edge.runtime.choice import Measured, choose, fastest, remember
from vexas_edge.runtime.session import Sessions

library_or_skip("openvino")
AUTO = EngineOptions(threads=1)
ORT = Measured(engine="onnxruntime", device="cpu", precision="fp32", ms_per_cell=3.0)
OPENVINO = Measured(engine="openvino", device="cpu", precision="fp32", ms_per_cell=2.0)
ORT_INT8 = Measured(engine="onnxruntime", device="cpu", precision="int8", ms_per_cell=1.0)
BROKEN = Measured(engine="openvino", device="cpu", precision="int8", problem="other numbers")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("measured", "asked", "expected"),
    [
        ([ORT, OPENVINO, ORT_INT8, BROKEN], {}, ORT_INT8),
        ([ORT, OPENVINO, BROKEN], {}, OPENVINO),
        ([ORT, OPENVINO, ORT_INT8], {"precision": "fp32"}, OPENVINO),
        ([ORT, OPENVINO, ORT_INT8], {"device": "cuda"}, None),
        ([BROKEN], {}, None),
        ([], {}, None),
    ],
)
def test_the_fastest_that_agrees_is_taken(
    measured: list[Measured], asked: dict[str, Any], expected: Measured | None
) -> None:
    assert fastest(measured, **asked) == expected


@pytest.mark.parametrize(("int8_ms", "expected"), [(1.66, "int8"), (1.67, "fp32")])
def test_a_cheaper_precision_must_be_1_2_times_as_fast_as_the_fastest_float32(
    int8_ms: float, expected: str
) -> None:
    cheap = Measured(engine="onnxruntime", device="cpu", precision="int8", ms_per_cell=int8_ms)
    chosen = fastest([ORT, OPENVINO, cheap])
    assert chosen
    assert chosen.precision == expected


def test_every_way_is_tested_timed_and_remembered(tiny_bundle: Path, tiny_case: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    said: list[str] = []
    measured = prepare.prepare_bundle(bundle, said.append, threads=1, seconds=0.1)
    ways = {(way.engine, way.precision): way for way in measured}
    assert set(ways) == {
        (engine, precision)
        for engine in ("onnxruntime", "openvino")
        for precision in ("fp32", "fp16", "int8")
    } | {("tensorrt", "fp32")}
    assert {way for way, found in ways.items() if found.problem is None} == {
        ("onnxruntime", "fp32"),
        ("openvino", "fp32"),
    }
    assert "has no fused.int8" in str(ways["onnxruntime", "int8"].problem)
    assert "cannot run: no NVIDIA GPU" in str(ways["tensorrt", "fp32"].problem)
    assert "monocyte: testing openvino on cpu in fp32" in said

    best = fastest(measured)
    assert best
    with Sessions(bundle, AUTO) as sessions:
        run = score_case(read_case(tiny_case), bundle, sessions).run
    assert run
    assert (run.engine, run.precision) == (best.engine, best.precision)
    assert run.choice_reason.startswith("the fastest on this PC of 2 that")


def test_a_remembered_engine_runs_where_none_is_named(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    remember(bundle, [ORT, OPENVINO])
    options, graph = choose(bundle, AUTO, "auto")
    assert (options.engine, options.device, graph.file) == ("openvino", "cpu", FUSED)
    named, _ = choose(bundle, EngineOptions(engine="onnxruntime", threads=1), "auto")
    assert named.engine == "onnxruntime"


def test_scores_agree_across_engines(tiny_bundle: Path, tiny_case: Path) -> None:
    bundle, case = open_bundle(tiny_bundle), read_case(tiny_case)
    scores = {}
    for engine in ("onnxruntime", "openvino"):
        with Sessions(bundle, EngineOptions(engine=engine), "fp32") as sessions:
            models = score_case(case, bundle, sessions).models
            scores[engine] = [model.score for model in models if model.score is not None]
    assert len(scores["openvino"]) == 2
    np.testing.assert_allclose(scores["openvino"], scores["onnxruntime"], atol=1e-3)


def test_another_version_of_an_engine_is_not_trusted_and_the_result_says_so(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(tiny_bundle)
    remember(bundle, [ORT, OPENVINO])
    now = this_host(packages_that_count())
    other = {**now.versions, "openvino": "2031.1"}
    monkeypatch.setattr(
        choosing,
        "this_host",
        lambda _: type(now)(**{**msgspec.to_builtins(now), "versions": other}),
    )
    options, graph = choose(bundle, AUTO, "auto")
    assert options.engine == "onnxruntime"
    assert graph.reason.endswith(
        f"not prepared: done on this PC with openvino {now.versions['openvino']}, now 2031.1"
    )


def test_a_damaged_memory_is_not_trusted_and_the_result_says_so(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(tiny_bundle)
    remember(bundle, [ORT, OPENVINO])
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(entry.read_bytes()[:-20])
    options, graph = choose(bundle, AUTO, "auto")
    assert options.engine == "onnxruntime"
    assert "is damaged (its content does not match its hash)" in graph.reason


def test_an_engine_of_other_numbers_is_never_chosen(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = openvino.OpenVinoEngine.run

    def drifted(self: Any, feeds: Any) -> dict[str, np.ndarray]:
        outputs = run(self, feeds)
        return {**outputs, "encodings": outputs["encodings"] + 2e-3}

    monkeypatch.setattr(openvino.OpenVinoEngine, "run", drifted)
    bundle = open_bundle(tiny_bundle)
    measured = prepare.prepare_bundle(bundle, print, threads=1, seconds=0.1)
    (drifting,) = [m for m in measured if (m.engine, m.precision) == ("openvino", "fp32")]
    assert drifting.ms_per_cell is None
    assert "self-test of neutrophil fused.fp32.onnx failed on this PC: 2.0e-03" in str(
        drifting.problem
    )
    assert choose(bundle, AUTO, "auto")[0].engine == "onnxruntime"


def test_where_nothing_agrees_nothing_is_scored(
    tiny_bundle: Path, tmp_path: Path, vexas_edge: Callable[..., Ended], tiny_case: Path
) -> None:
    path = with_golden(tiny_bundle, tmp_path / "b.vxb", **{"head.onnx/decisions": lambda v: v + 1})
    with pytest.raises(HostError, match="nothing on this PC runs this bundle as it should: onnxr"):
        prepare.prepare_bundle(open_bundle(path), print, threads=1, seconds=0.1)
    ended = vexas_edge("score", tiny_case, "--bundle", path)
    assert ended.status == HostError.exit_status
    assert "`vexas-edge prepare` found: self-test of monocyte head.onnx failed" in ended.err


def test_an_engine_that_is_not_installed_is_told_of(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def devices_of(engine: str) -> tuple[str, ...]:
        if engine == "openvino":
            raise HostError("openvino cannot be loaded (no module); install it")
        return ("cpu",)

    monkeypatch.setattr(prepare, "devices_of", devices_of)
    measured = prepare.prepare_bundle(open_bundle(tiny_bundle), print, threads=1, seconds=0.1)
    (absent,) = [m for m in measured if m.engine == "openvino"]
    assert str(absent.problem).startswith("openvino cannot be loaded")


def test_two_prepare_at_once_give_one_right_answer(
    tiny_bundle: Path, tiny_case: Path, vexas_edge: Callable[..., Ended]
) -> None:
    command = [sys.executable, "-m", "vexas_edge", "prepare", "--bundle", str(tiny_bundle)]
    command += ["--seconds", "0.2", "--threads", "1"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    shown = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all(text.count("<- chosen") == 1 for text in shown)
    ended = vexas_edge("score", tiny_case, "--bundle", tiny_bundle, "--threads", "1", "--json")
    assert "the fastest on this PC of 2" in ended.out


def test_the_command_shows_each_way_and_clears(
    tiny_bundle: Path, vexas_edge: Callable[..., Ended]
) -> None:
    ended = vexas_edge("prepare", "--bundle", tiny_bundle, "--seconds", "0.1")
    lines = ended.out.splitlines()
    assert ended.status == 0
    assert len(lines) == 7
    assert "ms per cell  <- chosen" in lines[0]
    assert "remembered in" in ended.err
    assert vexas_edge("prepare", "--clear").out.startswith("1 files removed from")
    missing = vexas_edge("prepare")
    assert missing.status == 2
    assert "--bundle" in missing.err


def test_a_graph_judged_by_an_emulation_alone_runs_on_request_only() -> None:
    emulated = Measured(
        engine="tensorrt", device="cuda", precision="fp16", emulated=True, ms_per_cell=0.1
    )
    assert fastest([ORT, emulated]) == ORT
    assert fastest([ORT, emulated], precision="fp16") == emulated


class Drifting(openvino.OpenVinoEngine):
    """OpenVINO, whose encodings lie beside what they should be."""

    def run(self, feeds: Any) -> dict[str, np.ndarray]:
        outputs = super().run(feeds)
        return {**outputs, "encodings": outputs["encodings"] + 2e-3}


def test_a_named_engine_that_was_never_prepared_passes_its_self_test_before_it_scores(
    tiny_bundle: Path,
    tiny_case: Path,
    monkeypatch: pytest.MonkeyPatch,
    vexas_edge: Callable[..., Ended],
) -> None:
    asked = ("score", tiny_case, "--bundle", tiny_bundle, "--engine", "openvino")
    assert vexas_edge(*asked).status == 0
    monkeypatch.setattr(openvino, "OpenVinoEngine", Drifting)
    ended = vexas_edge(*asked)
    assert ended.status == HostError.exit_status
    assert ended.out == ""
    assert "do not use openvino on cpu here" in ended.err


def test_a_polite_run_uses_what_was_prepared(
    tiny_bundle: Path, tiny_case: Path, vexas_edge: Callable[..., Ended]
) -> None:
    remember(open_bundle(tiny_bundle), [ORT, OPENVINO])
    ended = vexas_edge("score", tiny_case, "--bundle", tiny_bundle, "--threads", "1", "--json")
    assert '"engine":"openvino"' in ended.out
    assert ended.err == ""


def test_a_choice_that_no_longer_holds_is_told_of_on_stderr(
    tiny_bundle: Path,
    tiny_case: Path,
    monkeypatch: pytest.MonkeyPatch,
    vexas_edge: Callable[..., Ended],
) -> None:
    remember(open_bundle(tiny_bundle), [ORT, OPENVINO])
    monkeypatch.setattr(choosing, "_RECIPE", choosing._RECIPE + 1)
    ended = vexas_edge("score", tiny_case, "--bundle", tiny_bundle)
    now = choosing._RECIPE
    assert (
        "note: `vexas-edge prepare` is due again: done on this PC with recipe "
        f"{now - 1}, now {now}" in ended.err
    )
