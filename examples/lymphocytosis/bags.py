"""Bags beside medians: patients whose cells have no labels, with the covariates that are known.

    python examples/lymphocytosis/bags.py COHORT_DIR ENCODER_ONNX -o OUT --lines FILE.jsonl

Runs `vexas-workshop train bags` by five folds of all patients for each aggregation, and appends a
line of figures to FILE.jsonl for each run. Those that are there already are passed over, and an
interrupted run is continued.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from contrastive import BACKBONE, run_training, write_cohort
from covariates import COVARIATES, figures
from fitting import Split
from patients import CANVAS_PX, CELL_TYPE, PREPROCESSING, read_patients
from run import POSITIVE

from vexas_edge.commands.console import run_command_line

# Two aggregations are trained by three seeds, the others by one.
SEEDS = {"learned": 3, "mean": 3, "topk": 1, "topbottom": 1, "attention": 1}
# The options of `vexas-workshop train bags` by what is trained.
TRAINED = {
    "head": ("--rate=1e-3", "--weight-decay=3", "--epochs=60"),
    "last": ("--rate=1e-3", "--encoder-rate=1e-5", "--weight-decay=3", "--epochs=60", "--last=2"),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("cohort_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("encoder_onnx", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "out", type=click.Path(path_type=Path), required=True, help="Work folder.")
@click.option("--lines", type=click.Path(path_type=Path), required=True, help="The .jsonl file.")
@click.option("--train", type=click.Choice(tuple(TRAINED)), default="last", show_default=True)
@click.option("--only", type=click.Choice(tuple(SEEDS)), help="One aggregation.  [default: all]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--quick", is_flag=True, help="Few patients and epochs, to see that it runs.")
def cli(
    cohort_dir: Path,
    encoder_onnx: Path,
    out: Path,
    lines: Path,
    train: str,
    only: str | None,
    threads: int,
    quick: bool,
) -> None:
    """Train and judge each aggregation on the cohort in COHORT_DIR.

    COHORT_DIR holds cohort.csv; ENCODER_ONNX is the encoder to start from, as an ONNX file.
    """
    rows = read_patients(cohort_dir, 5 if quick else None)
    everyone = np.arange(len(rows))
    write_cohort(rows, Split(name="all", fit=everyone, judge=everyone[:0]), out)
    written = lines.read_text(encoding="utf-8").splitlines() if lines.exists() else []
    known = {(one["train"], one["aggregation"], one["seed"]) for one in map(json.loads, written)}
    more = [*TRAINED[train], "--threads", str(threads), "--start", str(encoder_onnx)]
    more += ["--epochs=2", "--folds=2"] if quick else []
    wanted = {only: SEEDS[only]} if only else SEEDS
    runs = [(name, seed) for seed in range(3) for name, n in wanted.items() if seed < n]
    for aggregation, seed in runs[:1] if quick else runs:
        if (train, aggregation, seed) not in known:
            facts = {"train": train, "aggregation": aggregation, "seed": seed}
            found = trained(out, facts, more)
            with lines.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({**facts, **dict(figures(found))}) + "\n")


def trained(out: Path, facts: dict[str, Any], more: Sequence[str]) -> dict[str, Any]:
    """What the public command says of one training.

    Args:
        facts: options of this training alone.
    """
    folder = out / "-".join(map(str, facts.values()))
    of_cells = ["--cells", CELL_TYPE, "--cell-type", CELL_TYPE, "--canvas-px", str(CANVAS_PX)]
    network = ["--backbone", BACKBONE, "--preprocessing", PREPROCESSING]
    beside = [f"--covariate={name}" for name in COVARIATES]
    own = [f"--{name}={value}" for name, value in facts.items()]
    asked = [*of_cells, *network, "--positive", POSITIVE, *beside, *own, *more]
    run_training("bags", str(out / "cohort.csv"), *asked, "-o", str(folder))
    found: dict[str, Any] = json.loads((folder / "covariates.json").read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    run_command_line(cli)
