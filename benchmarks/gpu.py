"""Does a GPU score what a CPU scores, as fast as it can, and does it learn fast?

    python benchmarks/gpu.py -o benchmarks/results/gpu.jsonl

Bundles and smears are drawn, and networks have random weights that tell cells apart, so nothing
else is needed. Each part runs in a process of its own and appends its line as it ends; what does
not fit into the time is left out, and its line says so. With `--device cpu` all of it runs with
small sizes on the CPU in the GPU's place, only to see that it runs; not for figures.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from gpu_rig import SMALL, Sizes
from lines import add_line, lines_out

TRAINED = "squeezenet11"
# How many seconds each takes on a GPU at least: first what is made for them, then the parts in the
# order in which they run.
MADE = {"smears": 10, "bundle": 20}
PARTS = {
    "parity": 15,
    "engine": 20,
    "files": 20,
    "training": 20,
    "profile": 15,
    "prepare": 20,
    "tensorrt": 25,
    "compiled": 40,
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is measured, and until when.

    ends: as `time.monotonic` counts.
    """

    device: str
    seconds: float
    folder: Path
    ends: float

    @property
    def left(self) -> float:
        return self.ends - time.monotonic()

    @property
    def networks(self) -> tuple[str, ...]:
        return (Sizes() if self.device == "cuda" else SMALL).networks

    def line(self, part: str, network: str) -> dict[str, Any]:
        """The line of a part, or why there is none."""
        needed = (MADE | PARTS)[part.split("-")[0]] if self.device == "cuda" else 1
        if self.left < needed:
            left = max(0.0, self.left)
            return {"skipped": f"{left:.0f} s are left, and it takes at least {needed} s"}
        arguments = [part, network, self.device, str(self.seconds), str(self.folder)]
        script = Path(__file__).with_name("gpu_part.py")
        began = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, str(script), *arguments],
                capture_output=True,
                text=True,
                timeout=self.left,
            )
        except subprocess.TimeoutExpired:
            return {"skipped": f"not done after {time.monotonic() - began:.0f} s, when time was up"}
        took = {"part_seconds": round(time.monotonic() - began, 1)}
        if done.returncode:
            return {"error": done.stderr.strip().rpartition("\n")[2], **took}
        return {**json.loads(done.stdout.splitlines()[-1]), **took}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@lines_out
@click.option(
    "--part",
    "asked",
    multiple=True,
    type=click.Choice(list(PARTS)),
    help="Measure this part only; may be repeated.",
)
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option(
    "--seconds",
    default=2.0,
    show_default=True,
    help="Time each comparison for at least so long.",
)
@click.option(
    "--deadline",
    default=200.0,
    show_default=True,
    help="Leave out what does not fit into so many seconds in all.",
)
def cli(out: Path, asked: tuple[str, ...], device: str, seconds: float, deadline: float) -> None:
    """Measure a GPU; append one JSON line per part and network to the file."""
    wanted = [part for part in PARTS if not asked or part in asked]
    with tempfile.TemporaryDirectory() as folder:
        ends = time.monotonic() + deadline
        run = Run(device=device, seconds=seconds, folder=Path(folder), ends=ends)
        for part, network, line in _lines(run, wanted):
            facts = {
                "part": part,
                "network": network,
                "device": device,
                "quick": device == "cpu",
                "asked": {"seconds": seconds, "deadline": deadline},
            }
            add_line(out, {**line, **facts})


def _lines(run: Run, wanted: list[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Part, network and line of all that is measured."""
    if any(part != "training" for part in wanted):
        yield "make", "", _made(run)
    first, *_ = run.networks
    for part in wanted:
        for script, network in _steps(part, run.networks, first):
            yield script, network, run.line(script, network)


def _steps(part: str, networks: tuple[str, ...], first: str) -> list[tuple[str, str]]:
    """The processes of a part: what each measures, and of which network."""
    if part in ("parity", "engine"):
        return [(part, network) for network in networks]
    if part == "profile":
        return [(part, first), ("profile-training", TRAINED)]
    return [(part, TRAINED if part == "training" else first)]


def _made(run: Run) -> dict[str, Any]:
    """Make bundles and smears at the same time; how long that took, and what failed."""
    steps = [("smears", ""), *(("bundle", network) for network in run.networks)]
    began = time.monotonic()
    with ThreadPoolExecutor(len(steps)) as pool:
        lines = list(pool.map(lambda step: run.line(*step), steps))
    failed = [line[key] for line in lines for key in ("error", "skipped") if key in line]
    took = {"part_seconds": round(time.monotonic() - began, 1)}
    return {"error": "; ".join(failed), **took} if failed else took


if __name__ == "__main__":
    cli()
