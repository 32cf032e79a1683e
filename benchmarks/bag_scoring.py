"""Does what follows the encoder in a bag cost anything beside it?

    python benchmarks/bag_scoring.py DATA -o benchmarks/results/bag_scoring.jsonl

Scoring a case with a bag, with its interval, its pulls and the check against the fused graph, is
timed beside the same cells read and encoded alone, by the same engine, in turns; a ratio is
computed within each turn. The encoder is SqueezeNet at 112 px, in float32. DATA is a folder with
`lymphocytosis/` and `squeezenet11/`.
"""

import os
import tempfile
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
from lines import add_line, lines_out
from samples import CELL_TYPE, copy_cells, write_bag_bundle
from turns import median_and_interval, seconds_in_turns

from export.backbones import build_backbone, load_weights
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.models import Weighting
from vexas_edge.host.cache import FOLDER_VARIABLE
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.encoding import encode_cells
from vexas_edge.scoring.images.smears import read_smear
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import silent

SIZES = (40, 1000)
_READING = ReadOptions(cell_type=CELL_TYPE)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Path(path_type=Path))
@lines_out
@click.option("--turns", default=15, show_default=True, help="After one that is a warm-up.")
@click.option("--quick", is_flag=True, help="Use few cells, only to see that it runs.")
def cli(data: Path, out: Path, turns: int, quick: bool) -> None:
    """Measure on the cells in DATA; append one JSON line per aggregation and number of cells."""
    (encoder,) = (data / "squeezenet11").glob("*.onnx")
    backbone = build_backbone("squeezenet11").eval()
    load_weights(backbone, encoder)
    files = sorted((data / "lymphocytosis").glob("*/*.jpg"))
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[FOLDER_VARIABLE] = scratch  # keeps this PC's own cache unchanged
        folders = {n: copy_cells(files[:n], Path(scratch, str(n))) for n in SIZES[: 2 - quick]}
        for method in get_args(Weighting)[: 1 if quick else None]:
            to = Path(scratch, f"{method}.vxb")
            few = copy_cells(files[:8], Path(scratch, method))
            write_bag_bundle(backbone, "squeezenet11", method, 112, few, to)
            for n, folder in folders.items():
                line = {"aggregation": method, "n_cells": n}
                line |= bag_line(open_bundle(to), folder, 2 if quick else turns)
                add_line(out, {**line, "quick": quick})


def bag_line(bundle: Bundle, folder: Path, turns: int) -> dict[str, Any]:
    """How many times as long the score takes as the encodings alone."""
    with Sessions(bundle, precision="fp32") as sessions:

        def score() -> None:
            with read_case(folder, _READING) as case:
                score_case(case, bundle, sessions)

        def encode() -> None:
            with read_case(folder, _READING) as case:
                read = read_smear(case, bundle.manifest, silent, threads=sessions.threads)
                encode_cells(read.of_models[CELL_TYPE], CELL_TYPE, sessions, None, silent)

        taken = seconds_in_turns({"score": score, "encodings": encode}, turns)
    ratios = np.array([turn["score"] / turn["encodings"] for turn in taken])
    return {
        "question": "a bag's score, with its interval, beside its encodings alone, from files",
        "times_as_long": median_and_interval(ratios),
        "median_ms": {
            name: round(1000 * float(np.median([turn[name] for turn in taken])), 1)
            for name in taken[0]
        },
        "repeats": turns,
        "bundle_sha256": bundle.sha256,
    }


if __name__ == "__main__":
    cli()
