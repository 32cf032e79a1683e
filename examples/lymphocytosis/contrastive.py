"""Does contrastive learning on a hospital's own cells, without labels, improve a trained encoder?

    python examples/lymphocytosis/contrastive.py COHORT_DIR ENCODER_ONNX -o OUT

The patients are split into folds. For each, the encoder is pretrained on the cells of the other
folds' patients alone, so that it has never seen a cell of those who are judged. All is done by the
public commands; what is finished in OUT stays, so the same command continues where it was.
"""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from fitting import Split, fold_splits
from patients import CANVAS_PX, CELL_TYPE, PREPROCESSING, read_patients

from export.inputs import sha256_of_file
from vexas_edge.commands.console import run_command_line
from vexas_edge.errors import UsageError
from vexas_edge.files import write_atomically
from vexas_edge.smear.cohort import CohortCase

BACKBONE = "squeezenet11"
FROZEN = "frozen"
# The options of `vexas-workshop train pretrain`: the paper's, which are its defaults but for the
# crop, which is 128 px of 272 in the paper, and the number of epochs; and a recipe of our own, with
# few patients in a large batch, so that their stain does not tell cells apart.
RECIPES = {
    "paper": ("--crop-px=80", "--epochs=10"),
    "recipe": (
        "--crop-px=96",
        "--jitter=0.15",
        "--batch-size=128",
        "--batch-patients=8",
        "--temperature=0.1",
        "--schedule=cosine",
        "--rate=5e-5",
        "--epochs=40",
    ),
}
WEIGHTS, ENCODINGS = "encoder.safetensors", "encodings.npz"
_CELLS = ("--cells", CELL_TYPE, "--cell-type", CELL_TYPE, "--canvas-px", str(CANVAS_PX))
_SCALED = ("--preprocessing", PREPROCESSING)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("cohort_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("encoder_onnx", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "out", type=click.Path(path_type=Path), required=True, help="Work folder.")
@click.option("--seeds", default="0,1,2", show_default=True, help="Of pretraining.")
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True)
@click.option("--only", help="Folds to work on, such as 1,3; others are left for later.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--quick", is_flag=True, help="Few patients and one epoch, to see that it runs.")
def cli(
    cohort_dir: Path,
    encoder_onnx: Path,
    out: Path,
    seeds: str,
    folds: int,
    only: str | None,
    threads: int,
    quick: bool,
) -> None:
    """Pretrain, encode and judge on the folds of the cohort in COHORT_DIR.

    COHORT_DIR holds cohort.csv; ENCODER_ONNX is the encoder to start from, as an ONNX file.
    """
    rows = read_patients(cohort_dir, 5 if quick else None)
    asked = {"quick": quick, "start": sha256_of_file(encoder_onnx), "recipes": RECIPES}
    keep_same(out / "asked.json", json.dumps(asked, indent=2).encode())
    splits = fold_splits([row.label for row in rows], folds)
    chosen = set(only.split(",")) if only else {str(k) for k in range(1, folds + 1)}
    mine = [split for split in splits if split.name.removeprefix("fold-") in chosen]
    for split in mine:
        write_cohort(rows, split, out / split.name)
        encode(out / split.name, out / split.name / FROZEN, encoder_onnx)
    for seed in seeds.split(","):
        for split in mine:
            for recipe, options in RECIPES.items():
                to = out / split.name / f"{recipe}-{seed}"
                more = [*options, "--seed", seed, "--threads", str(threads)]
                more += ["--epochs=1"] if quick else []
                pretrain(out / split.name, to, encoder_onnx, more)
                encode(out / split.name, to, to / WEIGHTS)


def write_cohort(rows: Sequence[CohortCase], split: Split, folder: Path) -> None:
    """Write `cohort.csv` of one fold, whose splits are `fit` and `judge`.

    Raises:
        UsageError: the folder is of another fold, and what is finished there does not belong here.
    """
    names, text = list(rows[0].covariates), io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["patient", "sample", "path", "label", "split", *names])
    for name, indices in (("fit", split.fit), ("judge", split.judge)):
        for row in (rows[i] for i in indices):
            own = [row.covariates[covariate] for covariate in names]
            writer.writerow([row.patient, row.sample, row.path.resolve(), row.label, name, *own])
    keep_same(folder / "cohort.csv", text.getvalue().encode())


def keep_same(file: Path, content: bytes) -> None:
    """Write a file, unless it is there.

    Raises:
        UsageError: it is there and differs, so that its folder is of another run.
    """
    if file.exists() and file.read_bytes() != content:
        raise UsageError(f"{file} is of another run; name another folder")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, content)


def pretrain(fold: Path, to: Path, start: Path, options: Sequence[str]) -> None:
    """Pretrain on the fold's patients to fit on, unless the weights are there."""
    if not (to / WEIGHTS).exists():
        of_network = ("--backbone", BACKBONE, "--start", str(start), *_SCALED)
        run_training(
            "pretrain", str(fold / "cohort.csv"), *_CELLS, *of_network, *options, "-o", str(to)
        )


def encode(fold: Path, to: Path, weights: Path) -> None:
    """Encode all cells of a fold's cohort, unless that is done."""
    if not (to / ENCODINGS).exists():
        onnx = weights.suffix == ".onnx"
        encoder = ("--encoder", str(weights)) if onnx else ("--encoder", BACKBONE)
        own = () if onnx else ("--weights", str(weights))
        asked = (*_CELLS, *_SCALED, "--larger", "crop", *encoder, *own)
        run_training("encode", str(fold / "cohort.csv"), *asked, "-o", str(to))


def run_training(*words: str) -> None:
    """Run a command of `vexas-workshop train`."""
    command = [sys.executable, "-m", "vexas_edge.workshop", "train", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    run_command_line(cli)
