"""Commands that make the inputs of the others: `synth` draws smears, `encode` encodes cells."""

from pathlib import Path
from typing import Any

import click

from export.paper import CANVAS_PX
from training.commands import names_from_words
from training.commands.background import background_option
from training.commands.learning_options import preprocessing_option
from vexas_edge.commands.console import echo, say
from vexas_edge.commands.options import reading_options

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("-o", "out", type=_PATH, required=True, help="Folder for the cohort, new or empty.")
@click.option(
    "--patients",
    type=click.IntRange(2),
    default=40,
    show_default=True,
    help="Number of patients, one smear each.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    default=0.8,
    show_default=True,
    help="How strongly the groups differ: 0 not at all, 1 clearly.",
)
@click.option(
    "--neutrophil",
    type=click.IntRange(0),
    default=60,
    show_default=True,
    help="Neutrophils per smear.",
)
@click.option(
    "--monocyte",
    type=click.IntRange(0),
    default=12,
    show_default=True,
    help="Monocytes per smear.",
)
@click.option(
    "--lymphocyte",
    type=click.IntRange(0),
    default=30,
    show_default=True,
    help="Lymphocytes per smear.",
)
@click.option(
    "--layout",
    type=click.Choice(("cellavision", "prefix")),
    default="cellavision",
    show_default=True,
    help="Folders named by class, as an analyzer exports them, or one folder of files whose names "
    "start with a class's prefix.",
)
@click.option(
    "--crops",
    is_flag=True,
    help="Draw the slide and red cells around each cell, and write masks.csv for `segmenter`.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Seed of the first patient; each further patient has the next one.",
)
def synth(out: Path, seed: int, **asked: Any) -> None:
    """Draw smears of made-up patients, half of them with the phenotype, and write cohort.csv.

    Stain and lamp differ from patient to patient. A score on drawings says nothing about real
    patients.

    \b
    Example:
      vexas-workshop train synth -o drawn --patients 16 --strength 1
    """
    from training.drawn.made_up_cohort import SyntheticCohort, write_cohort
    from training.drawn.smears import CELL_TYPES

    cells = {cell_type: asked.pop(cell_type) for cell_type in CELL_TYPES}
    cohort = SyntheticCohort(first_seed=seed, cells=cells, **asked)
    for n, _ in enumerate(write_cohort(cohort, out), start=1):
        say(f"{n} of {cohort.patients} smears")
    echo(f"cohort: {out / 'cohort.csv'}")


@click.command()
@click.argument("cohort", type=_PATH)
@click.option(
    "--encoder",
    required=True,
    help="A backbone's name, an .onnx file, or module:factory, a function that returns a network.",
)
@click.option(
    "--weights",
    type=_PATH,
    help="The encoder's weights: .safetensors, or a checkpoint that holds weights only.",
)
@preprocessing_option
@click.option(
    "--cells",
    required=True,
    help="Classes of cells to encode, separated by commas, such as monocyte,promonocyte.",
)
@click.option(
    "--canvas-px",
    type=click.IntRange(8, 4096),
    default=CANVAS_PX,
    show_default=True,
    help="Side of the black square on which a cell is placed, in pixels.",
)
@click.option(
    "--larger",
    type=click.Choice(("reject", "crop")),
    default="reject",
    show_default=True,
    help="Whether images larger than the canvas are rejected or cropped to their middle.",
)
@click.option("--split", help="Encode this split of the cohort only.  [default: all]")
@background_option
@reading_options
@click.option(
    "-o",
    "out",
    type=_PATH,
    required=True,
    help="Folder for encodings.npz and metadata.csv.",
)
def encode(cohort: Path, out: Path, split: str | None, **asked: Any) -> None:
    """Encode the cells of COHORT (cohort.csv) into vectors, exactly as scoring does.

    They are written to encodings.npz, and whose they are to metadata.csv, for `probe`, `evaluate`
    and `fit`.

    \b
    Example:
      vexas-workshop train encode drawn/cohort.csv --cells neutrophil_segmented \\
        --encoder compact --weights pn/encoder.safetensors --preprocessing torchvision \\
        --canvas-px 160 --larger crop -o encodings
    """
    from training.encodings.encoder import Wanted, encode_rows
    from training.encodings.table import write_encodings
    from vexas_edge.smear.cohort import cases_of_split, read_cohort

    rows = read_cohort(cohort)
    rows = rows if split is None else cases_of_split(rows, split)
    wanted = Wanted(
        cells=names_from_words(asked.pop("cells")),
        canvas_px=asked.pop("canvas_px"),
        larger=asked.pop("larger"),
        background=asked.pop("background"),
        reading=asked.pop("reading"),
    )
    encoded = encode_rows(rows, wanted, **asked, say=say)
    for line in encoded.unreadable:
        say(f"warning: {line}")
    write_encodings(encoded.found, out)
    n_patients = len(set(encoded.found.patients))
    n_cells, width = encoded.found.encodings.shape
    echo(f"{out}: {n_cells} cells of {n_patients} patients, {width} numbers each")
