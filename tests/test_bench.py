"""What `vexas-edge bench` measures, writes, draws and compares."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import Ended, write_cells
from tiny_bag import BagKind, bag_bundle

from vexas_edge import open_bundle, read_case
from vexas_edge.bench.baseline import changes, check_same
from vexas_edge.bench.drawn_smear import write_smear
from vexas_edge.bench.scenarios import _stages_ms
from vexas_edge.bench.timing import Times, times_in_turns
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.onnxruntime import OnnxRuntimeEngine
from vexas_edge.errors import InputError, UsageError
from vexas_edge.host.clock import median_seconds
from vexas_edge.runtime.session import Sessions

MODELS = ("neutrophil", "monocyte", "lymphocyte")
QUICK = ("--seconds", "0.1", "--cells", "5", "--threads", "1")


def silent(_: str) -> None:
    pass


def test_percentiles_and_interval_are_of_all_turns() -> None:
    turns = [np.array([1.0, 2, 3]), np.array([2.0, 3, 4]), np.array([9.0])]
    times = Times(turns=turns, yardsticks=[1.0, 1, 3])
    assert times.count == 7
    assert times.percentile(50) == 3
    low, high = times.interval()
    assert 2 <= low < 3 < high <= 9


def test_times_in_yardsticks_outlive_a_pc_that_becomes_slower() -> None:
    slow = np.repeat([1.0, 1.3], 5)
    times = Times(turns=[np.array([2.0, 2.0]) * by for by in slow], yardsticks=list(0.5 * slow))
    assert times.interval() == (2.0, 2.6)
    assert times.in_yardsticks().interval() == pytest.approx((4.0, 4.0))


def test_the_interval_knows_of_busy_turns() -> None:
    rng = np.random.default_rng(0)
    alike = [1.0] * 10
    steady = Times(turns=[rng.normal(10, 1, 50) for _ in alike], yardsticks=alike)
    spells = Times(
        turns=[rng.normal(10 + 4 * (turn % 2), 1, 50) for turn in range(10)], yardsticks=alike
    )

    def width(times: Times) -> float:
        low, high = times.interval()
        return high - low

    assert width(steady) < 1
    assert width(spells) > 2


def test_queries_are_taken_in_turns_for_long_and_often_enough() -> None:
    order: list[str] = []

    def wait() -> None:
        order.append("b")
        time.sleep(0.004)

    queries = [lambda: order.append("a"), wait]
    turns: list[str] = []
    fast, slow = times_in_turns(queries, seconds=0.1, least=[30, 40], report=turns.append)
    assert slow.count >= 40
    assert fast.count >= 30
    assert sum(float(turn.sum()) for turn in slow.turns) >= 0.1
    assert "".join(order[2:]).count("ab") == 10  # after one query each as warm-up
    assert turns[-1] == "turn 10 of 10"
    assert median_seconds({"nap": lambda: time.sleep(0.002)}, turns=3)["nap"] >= 0.002


def test_the_made_up_smear_is_a_case_of_every_model(tiny_bundle: Path, tmp_path: Path) -> None:
    manifest = open_bundle(tiny_bundle).manifest
    case = read_case(write_smear(manifest, 3, tmp_path / "smear"))
    classes = [cell.cell_class for cell in case.cells]
    assert {c: classes.count(c) for c in classes} == {
        "neutrophil_segmented": 3,
        "monocyte": 3,
        "lymphocyte": 3,
    }


@pytest.fixture(scope="module")
def lines(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    from vexas_edge.commands.bench import BenchRun, run_bench

    out = tmp_path_factory.mktemp("bench") / "lines.jsonl"
    run_bench(
        BenchRun(bundle=tiny_bundle, seconds=0.1, cells=5, engine=EngineOptions(threads=1), out=out)
    )
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_every_scenario_has_its_line(lines: list[dict[str, Any]]) -> None:
    found = [(line["model"], line["scenario"], line["batch"]) for line in lines]
    per_model = [
        ("single_stream", 1),
        *(("batch", batch) for batch in (2, 4, 8, 16, 32)),
        ("offline", 32),
    ]
    expected = [(model, *rest) for model in MODELS for rest in per_model]
    assert found == [*expected, (None, "case", 15), (None, "cold_start", 15)]


def test_lines_say_what_ran_where_and_how_sure_they_are(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        assert 0 < line["low"] <= line["value"] <= line["high"]
        assert 0 < line["relative_low"] <= line["relative"] <= line["relative_high"]
        assert line["count"] >= 10
        assert (line["run"]["engine"], line["run"]["precision"]) == ("onnxruntime", "fp32")
        assert line["run"]["threads"] == 1
        assert set(line["stages_ms"]) == (
            {"decode", "canvas", "compute", "head"} if line["model"] else set()
        )
    cold, case = lines[-1], lines[-2]
    assert cold["value"] > case["value"]
    assert cold["unit"] == case["unit"] == "ms"


def scaled(lines: list[dict[str, Any]], factor: float) -> list[dict[str, Any]]:
    """The same run with every query's time multiplied."""
    figures = ("relative", "relative_low", "relative_high")
    return [{**line, **{k: line[k] * factor for k in figures}} for line in lines]


def narrow(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [within(line, 0.97, 1.03) for line in lines]


def within(line: dict[str, Any], low: float, high: float) -> dict[str, Any]:
    relative = line["relative"]
    return {**line, "relative_low": relative * low, "relative_high": relative * high}


def test_the_same_run_is_no_regression_and_a_slower_one_is(lines: list[dict[str, Any]]) -> None:
    earlier = narrow(lines)
    assert not any(change.regressed for change in changes(earlier, earlier))
    slower = changes(scaled(earlier, 1.2), earlier)
    assert all(change.regressed for change in slower)
    assert [change.ratio for change in slower] == pytest.approx([1.2] * len(lines))
    assert not any(change.regressed for change in changes(scaled(earlier, 0.8), earlier))


def test_a_change_within_the_intervals_is_no_regression(lines: list[dict[str, Any]]) -> None:
    wide = [within(line, 0.8, 1.3) for line in lines]
    assert not any(change.regressed for change in changes(scaled(wide, 1.2), wide))


@pytest.mark.parametrize(
    ("what", "value"),
    [("cpu", "another"), ("threads", 9), ("bundle", "0"), ("device", "cuda")],
)
def test_runs_of_different_hosts_or_bundles_are_not_compared(
    lines: list[dict[str, Any]], what: str, value: Any
) -> None:
    other = {**lines[0]["run"], what: value}
    with pytest.raises(
        UsageError, match=f"cannot be compared with the baseline: {what}: {value} then"
    ):
        check_same(lines[0]["run"], other)


def test_an_engine_made_slower_is_reported_as_a_regression(
    tiny_bundle: Path,
    tmp_path: Path,
    vexas_edge: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "lines.jsonl"
    assert vexas_edge("bench", "--bundle", tiny_bundle, *QUICK, "-o", out).status == 0
    run = OnnxRuntimeEngine.run

    def slow(self: Any, feeds: Any) -> dict[str, np.ndarray]:
        time.sleep(0.02)
        return run(self, feeds)

    monkeypatch.setattr(OnnxRuntimeEngine, "run", slow)
    ended = vexas_edge("bench", "--bundle", tiny_bundle, *QUICK, "--baseline", out)
    assert ended.status == 8
    (line,) = [ln for ln in ended.out.splitlines() if ln.startswith("monocyte single_stream 1 c")]
    assert line.endswith("REGRESSED")


@pytest.mark.parametrize("impossible", [{"relative": 0.0}, {"relative": "x"}, {"model": 3}])
def test_a_baseline_of_impossible_figures_is_refused(
    lines: list[dict[str, Any]],
    tiny_bundle: Path,
    tmp_path: Path,
    vexas_edge: Callable[..., Ended],
    impossible: dict[str, Any],
) -> None:
    baseline = tmp_path / "lines.jsonl"
    baseline.write_text("".join(json.dumps(line | impossible) + "\n" for line in lines))
    ended = vexas_edge("bench", "--bundle", tiny_bundle, *QUICK, "--baseline", baseline)
    assert ended.status == 5
    assert "is not a file that `vexas-edge bench -o` wrote" in ended.err


@pytest.mark.parametrize("content", ["", "no json", "{}\n", "[1]\n", '{"run": {}}\n'])
def test_a_baseline_that_is_none_is_refused_before_anything_is_measured(
    tiny_bundle: Path, tmp_path: Path, vexas_edge: Callable[..., Ended], content: str
) -> None:
    (tmp_path / "lines.jsonl").write_text(content)
    ended = vexas_edge(
        "bench", "--bundle", tiny_bundle, *QUICK, "--baseline", tmp_path / "lines.jsonl"
    )
    assert ended.status == InputError.exit_status
    assert "baseline" in ended.err
    assert "turn" not in ended.err


def test_the_plot_is_a_picture(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    from vexas_edge.bench.plot import draw_latency

    draw_latency(lines, tmp_path / "latency.png")
    with Image.open(tmp_path / "latency.png") as image:
        assert image.size == (900, 600)


def test_the_stages_of_a_bag_are_measured_without_anybodys_covariates(tmp_path: Path) -> None:
    files = [path.read_bytes() for path in write_cells(tmp_path / "cells", 6)]
    bundle = open_bundle(bag_bundle(tmp_path / "bag", BagKind()))
    with Sessions(bundle, EngineOptions(threads=1)) as sessions:
        assert _stages_ms(sessions, "neutrophil", files)["head"] > 0
