"""How long does it take from starting `vexas-edge score` to the scores of one case?

    python benchmarks/cold_start.py -o benchmarks/results/cold_start.jsonl

The case is the drawn smear that ships with the wheel, scored with the bundle beside it. The time
that the engine needs to load that bundle's graphs depends on the network, so it is measured in a
separate process and subtracted. For `--help`, which computes nothing, the CPU time is measured
and compared with what Python needs to import click alone: the least of all turns of each.
"""

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from lines import add_line, lines_out

import vexas_edge

_SHIPPED = Path(vexas_edge.__file__).parent / "demo"
_SMEAR, _BUNDLE = _SHIPPED / "smear.zip", _SHIPPED / "demo.vxb"

_LOAD = """
import sys, time
from vexas_edge import open_bundle
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.runtime.session import Sessions
from vexas_edge.host.libraries import load_library
from vexas_edge.scoring.images.canvases import canvas_of
load_library("onnxruntime")
with Sessions(open_bundle(sys.argv[1]), EngineOptions(engine="onnxruntime"), "fp32") as sessions:
    started = time.perf_counter()
    for model in sessions.bundle.manifest.models:
        sessions.fused(model), sessions.head(model), canvas_of(sessions, model)
    print(time.perf_counter() - started)
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@lines_out
@click.option(
    "--turns", default=15, show_default=True, help="Repetitions, after one that is a warm-up."
)
def cli(out: Path, turns: int) -> None:
    """Run `vexas-edge score` many times; append one JSON line to the file."""
    taken = [_turn() for _ in range(turns + 1)][1:]
    scores, loads, helps, clicks = zip(*taken, strict=True)
    line = {
        "question": "from process start to the scores of the demo's smear, without the model load",
        "beyond_load_s": round(statistics.median(s - ld for s, ld, *_ in taken), 3),
        "target_s": "< 0.5",
        "score_s": round(statistics.median(scores), 3),
        "load_s": round(statistics.median(loads), 3),
        "help_cpu_s": round(min(helps), 3),
        "help_of_import_click": round(min(helps) / min(clicks), 2),
        "help_of_import_click_target": "<= 1.6",
        "repeats": turns,
    }
    add_line(out, line)


def _turn() -> tuple[float, float, float, float]:
    """Seconds of scoring, of loading the graphs, of `--help`'s CPU and of `import click`'s."""
    started = time.perf_counter()
    _run("-m", "vexas_edge", "score", _SMEAR, "--bundle", _BUNDLE)
    scored = time.perf_counter() - started
    load = float(_run("-c", _LOAD, _BUNDLE))
    return scored, load, _cpu_s("-m", "vexas_edge", "--help"), _cpu_s("-c", "import click")


def _cpu_s(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(*arguments: Any) -> str:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    cli()
