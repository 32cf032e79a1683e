"""What does it cost to name cells before they are scored?

    python benchmarks/typing_cost.py DATA -o benchmarks/results/typing_cost.jsonl

Nameless cells, in cases of 200, are read, named and encoded for the model of their class. Where
both models have one encoder, that is timed beside reading and encoding the same cells alone; where
they have two, beside reading them once and encoding them by both. All in turns, by one engine; a
ratio is computed within each turn. The encoder is SqueezeNet in float32, at 112 px for the score.
DATA is a folder with `lymphocytosis/` and `squeezenet11/`.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import numpy as np
from lines import add_line, lines_out
from PIL import Image
from samples import CELL_TYPE, copy_cells
from sklearn.linear_model import LogisticRegression
from turns import median_and_interval, seconds_in_turns

from export import write_bundle
from training.typing.learning import regression_of
from vexas_edge import open_bundle, read_case
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.host.cache import FOLDER_VARIABLE
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.encoding import encode_cells
from vexas_edge.scoring.images.smears import read_smear
from vexas_edge.scoring.score import named_smear
from vexas_edge.scoring.typed.sharing import known_encodings
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import silent

CASE_CELLS, N_CELLS = 200, 20_000
CANVAS_PX = {"shared": 112, "two": 128}
_WIDTH = 512
_VIEWS = 8


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Path(path_type=Path))
@lines_out
@click.option("--cells", default=N_CELLS, show_default=True, help="How many cells.")
@click.option("--turns", default=5, show_default=True, help="After one that is a warm-up.")
def cli(data: Path, out: Path, cells: int, turns: int) -> None:
    """Measure on cells made from those in DATA by turns; append a line for each question."""
    (encoder,) = (data / "squeezenet11").glob("*.onnx")
    files = sorted((data / "lymphocytosis").glob("*/*.jpg"))
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[FOLDER_VARIABLE] = scratch  # keeps this PC's own cache unchanged
        folders = write_cases(files, cells, Path(scratch, "cases"))
        few = copy_cells(files[:8], Path(scratch, "few"))
        scoring = Path(scratch, "scoring.vxb")
        write_bundle(scoring_spec(encoder, few), classifier=of_patients(), to=scoring)
        for question, canvas_px in CANVAS_PX.items():
            types = Path(scratch, f"{question}.vxb")
            spec = types_spec(encoder, few, canvas_px)
            write_bundle(spec, classifier=always_lymphocyte(), to=types)
            line = typing_line(question, scoring, types, folders, turns)
            add_line(out, {"n_cells": cells, "case_cells": CASE_CELLS, **line})


def write_cases(files: list[Path], n_cells: int, to: Path) -> list[Path]:
    """Folders of distinct nameless cells, each image in up to eight views."""
    folders = [to / f"{n:04}" for n in range(-(-n_cells // CASE_CELLS))]
    for folder in folders:
        folder.mkdir(parents=True)
    for index in range(min(n_cells, _VIEWS * len(files))):
        pixels = rgb_from_bytes(files[index % len(files)].read_bytes())
        view = index // len(files)
        turned = np.rot90(pixels[:, ::-1] if view % 2 else pixels, view // 2)
        to_file = folders[index // CASE_CELLS] / f"{index % CASE_CELLS:03}.jpg"
        Image.fromarray(turned).save(to_file, quality=90)
    return folders


def scoring_spec(encoder: Path, cells: Path) -> dict[str, Any]:
    """A model of medians of lymphocytes."""
    model = {**of_encoder(encoder, cells, CANVAS_PX["shared"]), "cells": [CELL_TYPE]}
    return {"name": "s", "version": "1", "positive": "b", "models": {CELL_TYPE: model}}


def types_spec(encoder: Path, cells: Path, canvas_px: int) -> dict[str, Any]:
    """A model that names cells by the same encoder, on its own canvas or on another."""
    naming = {"role": "typing", "limits": {CELL_TYPE: 0.0}, "largest_px": 500}
    model = {**of_encoder(encoder, cells, canvas_px), **naming}
    return {"name": "t", "version": "1", "models": {"leukocyte": model}}


def of_encoder(encoder: Path, cells: Path, canvas_px: int) -> dict[str, Any]:
    """What both models' specs say of their encoder."""
    return {
        "encoder": str(encoder),
        "preprocessing": {"mean": [0, 0, 0], "bgr": True},
        "encoding": "l2",
        "canvas_px": canvas_px,
        "larger": "crop",
        "parity_cells": str(cells),
    }


def of_patients() -> LogisticRegression:
    """A classifier of patients; what follows the encodings is not timed."""
    rng = np.random.default_rng(0)
    return regression_of(rng.normal(size=(2, _WIDTH)), np.zeros(2), ["a", "b"])


def always_lymphocyte() -> LogisticRegression:
    """Eleven classes, of which every cell is a lymphocyte, so that each is encoded again."""
    rng = np.random.default_rng(0)
    others = ["basophil", "blast", "eosinophil", "erythroblast", "monocyte", "myelocyte"]
    others += ["neutrophil_band", "neutrophil_segmented", "platelet", "promyelocyte"]
    names = sorted([*others, CELL_TYPE])
    bias = np.where(np.array(names) == CELL_TYPE, 100.0, 0.0)
    return regression_of(rng.normal(size=(len(names), _WIDTH)), bias, names)


def typing_line(
    question: str, bundle: Path, types: Path, folders: list[Path], turns: int
) -> dict[str, Any]:
    """How many times as long naming and encoding take as encoding alone."""
    with ExitStack() as stack:
        opened = [open_bundle(path) for path in (bundle, types)]
        sessions = stack.enter_context(Sessions(opened[0], precision="fp32", types=opened[1]))
        naming = stack.enter_context(Sessions(opened[1]))
        manifest, named = opened[0].manifest, ReadOptions(cell_type=CELL_TYPE)

        def encode_alone() -> None:
            for folder in folders:
                with read_case(folder, named) as case:
                    read = read_smear(case, manifest, silent, threads=sessions.threads)
                    own = read.of_models[CELL_TYPE]
                    encode_cells(own, CELL_TYPE, sessions, None, silent)
                    if question == "two":
                        encode_cells(own, "leukocyte", naming, None, silent)

        def name_and_encode() -> None:
            for folder in folders:
                with read_case(folder, ReadOptions(unnamed=True)) as case:
                    threads = sessions.threads
                    read = read_smear(case, manifest, silent, threads=threads, whole=True)
                    typed = named_smear(read, sessions, None, silent)
                    known = known_encodings(typed, CELL_TYPE, sessions)
                    assert bool(known) == (question == "shared")
                    own = typed.read.of_models[CELL_TYPE]
                    encode_cells(own, CELL_TYPE, sessions, None, silent, known)

        taken = seconds_in_turns({"named": name_and_encode, "alone": encode_alone}, turns)
    return _line_from_turns(question, taken)


def _line_from_turns(question: str, taken: list[dict[str, float]]) -> dict[str, Any]:
    ratios = np.array([turn["named"] / turn["alone"] for turn in taken])
    beside = {
        "shared": "beside reading and encoding alone, by the same encoder",
        "two": "beside one reading and two encoders",
    }
    return {
        "question": f"reading, naming and encoding nameless cells, {beside[question]}",
        "times_as_long": median_and_interval(ratios),
        "median_s": {
            name: round(float(np.median([turn[name] for turn in taken])), 2) for name in taken[0]
        },
        "repeats": len(taken),
    }


if __name__ == "__main__":
    cli()
