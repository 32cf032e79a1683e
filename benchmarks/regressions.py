"""Does `vexas-edge bench` find a slowdown of 20 %, and none if there is none?

    python benchmarks/regressions.py BUNDLE -o benchmarks/results/regressions.jsonl

It compares three runs by their times in yardsticks: two equal ones, and one in which every call of
the engine takes a fifth longer. A case and a cold start consist of more than such calls, so they
are slowed by less than a fifth; only the other figures count as slowed.
"""

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
from lines import add_line, lines_out

from vexas_edge.bench.baseline import Change, changes
from vexas_edge.commands.bench import BenchRun, run_bench
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.onnxruntime import OnnxRuntimeEngine

SLOWDOWN = 0.2
OF_THE_ENGINE = ("single_stream", "batch", "offline")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle", type=click.Path(path_type=Path))
@lines_out
@click.option(
    "--seconds", default=5.0, show_default=True, help="Least time to measure each figure for."
)
def cli(bundle: Path, out: Path, seconds: float) -> None:
    """Run `vexas-edge bench` three times on BUNDLE; append one JSON line to the file."""
    with tempfile.TemporaryDirectory() as scratch:
        first, second, slow = (Path(scratch) / f"{name}.jsonl" for name in ("1", "2", "slow"))
        asked = BenchRun(
            bundle=bundle, engine=EngineOptions(engine="onnxruntime"), seconds=seconds, out=first
        )
        run_bench(asked)
        run_bench(replace(asked, out=second))
        with patch.object(OnnxRuntimeEngine, "run", _slowed(OnnxRuntimeEngine.run)):
            run_bench(replace(asked, out=slow))
        alike, slowed = (changes(_lines(now), _lines(first)) for now in (second, slow))
    line = {
        "question": "does bench find a slowdown of 20 %, and none where there is none?",
        "regressions_of_two_runs_alike": sum(change.regressed for change in alike),
        "figures": len(alike),
        "found_of_the_slowed": sum(change.regressed for change in _of_engine(slowed)),
        "slowed": len(_of_engine(slowed)),
        "ratios_alike": {change.name: round(change.ratio, 3) for change in alike},
        "ratios_slowed": {change.name: round(change.ratio, 3) for change in slowed},
        "seconds": seconds,
    }
    add_line(out, line)


def _slowed(run: Any) -> Any:
    def slowed(self: OnnxRuntimeEngine, feeds: Any) -> Any:
        started = time.perf_counter()
        outputs = run(self, feeds)
        time.sleep(SLOWDOWN * (time.perf_counter() - started))
        return outputs

    return slowed


def _of_engine(found: list[Change]) -> list[Change]:
    return [change for change in found if any(name in change.name for name in OF_THE_ENGINE)]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    cli()
