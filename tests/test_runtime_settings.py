"""What `prepare` finds out on a made-up GPU, and that scoring is set up in that way."""

from pathlib import Path

import pytest
from gpu_standin import Card, simulated_card
from test_runtime_choice import with_graphs

from vexas_edge import open_bundle
from vexas_edge.bundle.archive import Bundle
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import settings_of
from vexas_edge.host import facts
from vexas_edge.runtime import prepare, settings
from vexas_edge.runtime.choice import Measured, choose, remember
from vexas_edge.runtime.session import Sessions
from vexas_edge.runtime.settings import fewest_cells

ON_CUDA = EngineOptions(engine="onnxruntime", device="cuda", threads=2, rows_per_call=16)


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "ENGINES", ("auto", "onnxruntime"))


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    return open_bundle(with_graphs(tiny_bundle, tmp_path / "b.vxb", "fused.fp16.onnx"))


def prepared(bundle: Bundle) -> dict[tuple[str, str], Measured]:
    said: list[str] = []
    found = prepare.prepare_bundle(bundle, said.append, threads=2, seconds=0.03)
    assert any("onnxruntime on cuda in fp16, nhwc-fused: " in line for line in said)
    return {(way.device, way.precision): way for way in found}


def tried(card: Card) -> set[tuple[str, bool]]:
    """The settings that were tried, by what tells them apart."""
    return {
        (options["cudnn_conv_algo_search"], "prefer_nhwc" in options)
        for options, _ in card.settings
    }


def test_each_setting_is_tried_and_one_way_a_precision_is_remembered(bundle: Bundle) -> None:
    with simulated_card() as card:
        ways = prepared(bundle)
        assert set(ways) == {(d, p) for d in ("cpu", "cuda") for p in ("fp32", "fp16", "int8")}
        assert tried(card) == {("EXHAUSTIVE", False), ("HEURISTIC", False), ("HEURISTIC", True)}
        assert set(settings.CALL_SIZES) <= set(card.calls)
        assert card.most_at_once <= 2
        for precision in ("fp32", "fp16"):
            way = ways["cuda", precision]
            assert way.setting in settings_of("onnxruntime", "cuda", way.precision)
            assert way.cells_per_call in settings.CALL_SIZES
        assert "for the CPU" in str(ways["cuda", "int8"].problem)
        on_cpu = ways["cpu", "fp32"]
        assert (on_cpu.setting, on_cpu.cells_per_call) == ("", None)


def test_sizes_end_where_memory_does(bundle: Bundle) -> None:
    with simulated_card(most_rows=20) as card:
        ways = prepared(bundle)
    assert ways["cuda", "fp32"].cells_per_call in (8, 16)
    assert max(card.calls) <= 20


@pytest.mark.parametrize(("most", "cells"), [(8, 8), (4, 1)])
def test_a_small_card_is_measured_with_what_fits(bundle: Bundle, most: int, cells: int) -> None:
    with simulated_card(most_rows=most):
        assert prepared(bundle)["cuda", "fp32"].cells_per_call == cells


def test_a_card_without_any_memory_is_a_problem_and_the_cpu_scores(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    with simulated_card(most_rows=0):
        found = prepare.prepare_bundle(bundle, lambda _: None, threads=1, seconds=0.03)
        (way,) = [w for w in found if (w.device, w.precision) == ("cuda", "fp32")]
        assert way.problem == "the GPU has too little free memory for a single cell"
        assert choose(bundle, EngineOptions(), "auto")[0].device == "cpu"


def test_preparing_forgets_what_once_did_not_fit(bundle: Bundle) -> None:
    with simulated_card():
        with Sessions(bundle, ON_CUDA, "fp32") as sessions:
            sessions.limits.halve("neutrophil", 8)
        with Sessions(bundle, ON_CUDA, "fp32") as sessions:
            assert sessions.cells_per_call("neutrophil") == 4
        prepared(bundle)
        with Sessions(bundle, ON_CUDA, "fp32") as sessions:
            assert sessions.cells_per_call("neutrophil") == 16


def test_scoring_is_set_up_as_was_measured(bundle: Bundle) -> None:
    way = Measured(
        engine="onnxruntime",
        device="cuda",
        precision="fp16",
        setting="heuristic",
        cells_per_call=64,
        ms_per_cell=0.15,
    )
    remember(bundle, [way])
    with simulated_card() as card, Sessions(bundle, EngineOptions(), "fp16") as sessions:
        assert sessions.cells_per_call("monocyte") == 64
        sessions.fused("monocyte")
        assert sessions.graph.reason.endswith(
            "0.15 ms per cell, set up as heuristic, 64 cells per call"
        )
    ((options, _),) = card.settings
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert "prefer_nhwc" not in options


def timed(**ms: float) -> list[Measured]:
    way = {"engine": "onnxruntime", "device": "cuda", "precision": "fp16"}
    return [
        Measured(**way, cells_per_call=int(n[1:]) or None, ms_per_cell=each)  # type: ignore[arg-type]
        for n, each in ms.items()
    ]


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        ({"_0": 1.0, "_8": 2.0, "_16": 1.02, "_32": 1.0, "_64": 1.01}, 16),
        ({"_0": 0.5, "_8": 2.0, "_16": 1.5, "_32": 1.0}, 32),
        ({"_0": 1.0}, None),
        ({"_1": 1.0}, 1),
    ],
)
def test_the_fewest_cells_that_are_about_as_fast_are_taken(
    ms: dict[str, float], expected: int | None
) -> None:
    assert fewest_cells(timed(**ms)).cells_per_call == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("echo 80541", 80541), ("echo 5; echo 6", None), ("echo [N/A]", None), ("exit 9", None)],
)
def test_free_memory_is_asked_of_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, expected: int | None
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{answer}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert facts.free_gpu_memory_mib() == expected
