"""Commands that make what the others take: `synth`, `encode`."""

from pathlib import Path
from typing import Any

import click

from training.commands import names_from_words
from vexas_edge.commands.options import reading_options
from vexas_edge.text import one_line

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("-o", "out", type=_PATH, required=True, help="An empty or new folder.")
@click.option("--patients", type=click.IntRange(2), default=40, show_default=True)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    default=0.8,
    show_default=True,
    help="Of the phenotype: 0 is no difference between the groups.",
)
@click.option("--neutrophil", type=click.IntRange(0), default=60, show_default=True)
@click.option("--monocyte", type=click.IntRange(0), default=12, show_default=True)
@click.option("--lymphocyte", type=click.IntRange(0), default=30, show_default=True)
@click.option(
    "--layout",
    type=click.Choice(("cellavision", "prefix")),
    default="cellavision",
    show_default=True,
    help="Class folders as an analyzer has them, or one folder of prefixed files.",
)
@click.option("--crops", is_flag=True, help="Red cells and slide around each cell, and masks.csv.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="First patient.")
def synth(out: Path, seed: int, **asked: Any) -> None:
    """Draw smears of made-up patients, half of them with the phenotype, and their cohort.csv.

    Each patient's stain and lamp are its own. A score on drawings says nothing about patients.
    """
    from training.drawn.made_up_cohort import SyntheticCohort, write_cohort
    from training.drawn.smears import CELL_TYPES

    cells = {cell_type: asked.pop(cell_type) for cell_type in CELL_TYPES}
    cohort = SyntheticCohort(first_seed=seed, cells=cells, **asked)
    for n, _ in enumerate(write_cohort(cohort, out), start=1):
        click.echo(f"{n} of {cohort.patients} smears", err=True)
    click.echo(f"cohort: {out / 'cohort.csv'}")


@click.command()
@click.argument("cohort", type=_PATH)
@click.option("--encoder", required=True, help="A backbone, an .onnx file, or module:factory.")
@click.option("--weights", type=_PATH, help="Its .safetensors or weights-only checkpoint.")
@click.option("--preprocessing", required=True, help="By name, as in a spec.")
@click.option("--cells", required=True, help="Canonical classes, commas between them.")
@click.option("--canvas-px", type=click.IntRange(8, 4096), default=272, show_default=True)
@click.option(
    "--larger", type=click.Choice(("reject", "crop")), default="reject", show_default=True
)
@click.option("--split", help="Of the cohort, only this one.  [default: all]")
@reading_options
@click.option("-o", "out", type=_PATH, required=True, help="A folder for the two files.")
def encode(cohort: Path, out: Path, **asked: Any) -> None:
    """Encode the cells of COHORT (cohort.csv) as scoring does: encodings.npz and metadata.csv."""
    from training.encodings.encoder import Wanted, encode_file
    from training.encodings.table import write_encodings

    wanted = Wanted(
        cells=names_from_words(asked.pop("cells")),
        canvas_px=asked.pop("canvas_px"),
        larger=asked.pop("larger"),
        reading=asked.pop("reading"),
    )
    encoded = encode_file(cohort, wanted, **asked)
    for line in encoded.unreadable:
        click.echo(one_line(f"warning: {line}"), err=True)
    write_encodings(encoded.found, out)
    n_patients = len(set(encoded.found.patients))
    n_cells, width = encoded.found.encodings.shape
    click.echo(f"{out}: {n_cells} cells of {n_patients} patients, {width} numbers each")
