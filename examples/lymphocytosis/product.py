"""Writes a spec, exports a bundle and scores patients, by the public commands only."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import skops.io
from patients import CANVAS, CELL_TYPE, DRAW_SIZE, FIT_DRAWS, PREPROCESSING, SCORE_DRAWS, SEED
from sklearn.svm import SVC

BUNDLE = "lymphocytosis.vxb"

_SPEC = """\
name = {name}
version = "1.0.0"
positive = {positive}
training_data = {training_data}

[models.lymphocyte]
cells = [{cell_type}]
encoder = {encoder}
preprocessing = {preprocessing}
encoding = "l2"
canvas_px = {canvas_px}
larger = {larger}                  # the images are 224 px, with the cell in their middle
classifier = "classifier.skops"
parity_cells = {parity_cells}
draw_size = {draw_size}
fit_draws = {fit_draws}
score_draws = {score_draws}
seed = {seed}
"""


@dataclass(frozen=True, kw_only=True)
class BundleSource:
    """What a bundle is made from.

    encoder: the encoder's file, relative to the spec.
    parity_cells: a folder of cells on which the export is compared.
    """

    name: str
    classifier: SVC
    encoder: str
    positive: str
    training_data: str
    parity_cells: Path


def write_sources(source: BundleSource, folder: Path) -> None:
    """Write classifier.skops and spec.toml to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    skops.io.dump(source.classifier, folder / "classifier.skops")
    values = {
        "name": source.name,
        "positive": source.positive,
        "training_data": source.training_data,
        "cell_type": CELL_TYPE,
        "encoder": source.encoder,
        "preprocessing": PREPROCESSING,
        "canvas_px": CANVAS.canvas_px,
        "larger": CANVAS.larger,
        "parity_cells": source.parity_cells.resolve().as_posix(),
        "draw_size": DRAW_SIZE,
        "fit_draws": FIT_DRAWS,
        "score_draws": SCORE_DRAWS,
        "seed": SEED,
    }
    # Texts and numbers are written the same way in JSON and in TOML.
    quoted = {key: json.dumps(value) for key, value in values.items()}
    (folder / "spec.toml").write_text(_SPEC.format(**quoted), encoding="utf-8")


def export_bundle(folder: Path) -> None:
    """Export the bundle of the spec in `folder`."""
    _run("vexas_edge.workshop", "export", "bundle", folder / "spec.toml", "-o", folder / BUNDLE)


def score_patients(folder: Path, cases: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Score all cases by one command; returns each case's row of cases.csv, by its folder's name.

    Raises:
        ClickException: the command failed, or a patient has no score (status 3 or 7).
    """
    out = folder / "scores"
    bundle = ("--bundle", folder / BUNDLE)
    _run("vexas_edge", "score", *cases, *bundle, "--cell-type", CELL_TYPE, "-o", out)
    with (out / "cases.csv").open(encoding="utf-8", newline="") as stream:
        return {row["case"]: row for row in csv.DictReader(stream)}


def _run(module: str, *arguments: object) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        click.echo(done.stderr, err=True)
        raise click.ClickException(f"{module} {arguments[0]} ended with status {done.returncode}")
