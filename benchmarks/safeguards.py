"""How much longer a case takes since it is normalised, judged and given an interval.

    python benchmarks/safeguards.py COMMIT --data ../shared/data -o FILE

The commit named is the last one without any of this. Each tree exports the same network and scores
the same cells in a process of its own; they take turns, and the ratio is that of a turn's times.
The bundle of today's tree is normalised and has a domain gate, which works and is not obeyed, so
that both trees ask the classifier.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

import click
from host import host_facts
from safeguards_worker import Work
from same_scores import ROOT, work_tree
from samples import copy_cells, write_export_cells

TARGETS = {"squeezenet11 int8": 1.30, "vgg16 fp32": 1.04}
# A usual number of cells of one class in an export.
N_CELLS = 56


def works(data: Path, scratch: Path) -> dict[str, Work]:
    """What both trees score, by name."""
    files = sorted((data / "lymphocytosis").glob("P*/*.jpg"))[:: 5586 // N_CELLS][:N_CELLS]
    small = copy_cells(files, scratch / "small")
    large = write_export_cells(files, N_CELLS, scratch / "large")
    encoder = str((data / "squeezenet11" / "squeezenet11_notop_gap.onnx").resolve())
    return {
        "squeezenet11 int8": Work(
            network=encoder, canvas_px=112, width=512, precision="int8", cells=str(small)
        ),
        "vgg16 fp32": Work(
            network="vgg16", canvas_px=272, width=512, precision="fp32", cells=str(large)
        ),
    }


class Worker:
    """One tree's process, which scores a case whenever it is told to."""

    def __init__(self, tree: Path, work: Work, scratch: Path, stack: ExitStack) -> None:
        scratch.mkdir(parents=True)
        paths = os.pathsep.join([str(tree), str(tree / "benchmarks")])
        env = {**os.environ, "PYTHONPATH": paths, "VEXAS_EDGE_CACHE": str(scratch / "cache")}
        script = Path(__file__).with_name("safeguards_worker.py")
        command = [sys.executable, "-P", str(script), str(scratch), work.to_json()]
        process = stack.enter_context(
            subprocess.Popen(
                command,
                env=env,
                cwd=scratch,  # where no other tree's modules are
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(process.kill)
        self._told, self._answers = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
        self._answer()

    def seconds(self) -> float:
        """The time that it takes to score the case once."""
        self._told.write("\n")
        self._told.flush()
        return float(self._answer())

    def _answer(self) -> str:
        line = self._answers.readline()
        if not line:
            raise click.ClickException("a tree's process ended; its error is above")
        return line


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("before")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Real cells.")
@click.option("-o", "out", type=click.Path(path_type=Path), help="JSON lines file to append to.")
@click.option("--only", type=click.Choice(list(TARGETS)), help="One network.  [default: all]")
@click.option("--turns", default=31, show_default=True, help="How often each tree scores.")
def cli(before: str, data: Path, out: Path | None, only: str | None, turns: int) -> None:
    """Compare the time of a case with that of the commit BEFORE."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder).resolve()
        asked = works(data, scratch)
        for name in [only] if only else asked:
            with ExitStack() as stack:
                work, place = asked[name], scratch / name.replace(" ", "-")
                tree = stack.enter_context(work_tree(before, place / "tree"))
                old = Worker(tree, work, place / "before", stack)
                new = Worker(ROOT, work, place / "now", stack)
                pairs = [(old.seconds(), new.seconds()) for _ in range(turns + 1)][1:]
            line = _line(name, before, pairs)
            click.echo(json.dumps(line))
            if out:
                with out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(line) + "\n")


def _line(name: str, before: str, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    ratios = sorted(now / old for old, now in pairs)
    return {
        "question": "time of a case over that of the commit before it was safeguarded",
        "network": name,
        "ratio": round(statistics.median(ratios), 4),
        "target": f"<= {TARGETS[name]}",
        "quartiles": [round(ratios[len(ratios) // 4], 4), round(ratios[-1 - len(ratios) // 4], 4)],
        "ms": [round(1000 * statistics.median(times), 2) for times in zip(*pairs, strict=True)],
        "n_cells": N_CELLS,
        "before": before,
        "turns": len(pairs),
        "date": time.strftime("%Y-%m-%d"),
        **host_facts(),
    }


if __name__ == "__main__":
    cli()
