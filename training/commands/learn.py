"""The command that trains an encoder without labels: `pretrain`."""

from pathlib import Path
from typing import Any

import click

from export.paper import CANVAS_PX
from training.commands import console_talk
from training.commands.learning_options import (
    Rows,
    field_options,
    given_fields,
    learning_options,
    use_threads,
    wanted_cells,
)
from vexas_edge.commands.console import echo

_PATH = click.Path(path_type=Path)


_AT_LEAST_ONE, _NOT_NEGATIVE = click.IntRange(1), click.FloatRange(0)
# All fields of `PretrainOptions`; an option that is not given keeps the default there.
_LEARNING: Rows = (
    (
        "--start",
        _PATH,
        "Weights to start from: .safetensors, .pt, .pth or .onnx.  [default: random]",
    ),
    (
        "--batch-norm",
        click.Choice(("frozen", "learned")),
        "Whether batch normalisation keeps the statistics of --start, as in the paper, or learns "
        "its own.  [default: frozen with --start, else learned]",
    ),
    (
        "--crop-px",
        _AT_LEAST_ONE,
        "Side of the square that a view of a cell shows, in pixels.  [default: 128]",
    ),
    ("--flip", _NOT_NEGATIVE, "Share of views that are mirrored, per axis.  [default: 0.5]"),
    ("--turn-deg", _NOT_NEGATIVE, "Largest rotation in either direction.  [default: 180]"),
    ("--jitter", _NOT_NEGATIVE, "How much the stain differs between views.  [default: 0]"),
    ("--grey", _NOT_NEGATIVE, "Share of views without colour.  [default: 0]"),
    ("--scale", _NOT_NEGATIVE, "How much the magnification differs between views.  [default: 0]"),
    (
        "--blur-px",
        _NOT_NEGATIVE,
        "Largest standard deviation of a blur, in pixels; each view has one up to it.  "
        "[default: 0]",
    ),
    (
        "--shift-px",
        click.IntRange(0),
        "How far a view may lie from a cell's middle, in pixels; without it, anywhere.",
    ),
    (
        "--queue",
        click.IntRange(0),
        "Earlier projections among which nearest neighbours are looked up (NNCLR); 0 turns "
        "this off.  [default: 0]",
    ),
    ("--projection", _AT_LEAST_ONE, "Width of the projection head.  [default: 128]"),
    (
        "--temperature",
        _NOT_NEGATIVE,
        "What similarities are divided by in the loss.  [default: 0.07]",
    ),
    ("--batch-size", click.IntRange(2), "Cells per batch.  [default: 8]"),
    (
        "--batch-patients",
        click.IntRange(0),
        "Patients per batch; 0 mixes the cells of all.  [default: 0]",
    ),
    (
        "--batch-pair",
        click.Choice(("cell", "patient")),
        "What has to match: two views of one cell, or of two cells of one patient.  "
        "[default: cell]",
    ),
    ("--weight-decay", _NOT_NEGATIVE, "Weight decay; above 0, of AdamW.  [default: 0]"),
    (
        "--schedule",
        click.Choice(("plateau", "cosine")),
        "Halve the rate when the loss stops falling, or lower it along a cosine.  "
        "[default: plateau]",
    ),
    ("--rate", _NOT_NEGATIVE, "First or highest learning rate.  [default: 1e-05]"),
    (
        "--lowest-rate",
        _NOT_NEGATIVE,
        "Rate below which `plateau` does not halve.  [default: 1e-05]",
    ),
    (
        "--warm-up",
        _NOT_NEGATIVE,
        "Epochs over which the rate first rises from zero.  [default: 0]",
    ),
    (
        "--epochs",
        _AT_LEAST_ONE,
        "Number of epochs: with `plateau` the most, with `cosine` exactly.  [default: 1000]",
    ),
    (
        "--seed",
        click.IntRange(0),
        "Seed of first weights, batches and views.  [default: 0]",
    ),
)


@click.command()
@learning_options(
    canvas=click.option(
        "--canvas-px",
        type=click.IntRange(8, 4096),
        help="Crop larger images to a square of this side in their middle.  "
        "[default: keep them whole]",
    )
)
@click.option(
    "--probe",
    type=_PATH,
    help="A cohort.csv whose `label` is the class of its cells; how well the encoder tells them "
    "apart is recorded after each epoch.",
)
@field_options(_LEARNING)
@click.option(
    "--device",
    type=click.Choice(("cpu", "cuda")),
    default="cpu",
    show_default=True,
    help="Where to train.",
)
def pretrain(cohort: Path, out: Path, device: str, threads: int | None, **asked: Any) -> None:
    """Train an encoder on the cells of COHORT (cohort.csv) by contrastive learning, without labels.

    The defaults are the VEXAS paper's. The folder receives encoder.safetensors, which a spec names
    as `weights`, the record pretrain.jsonl, its plot pretrain.png, and a checkpoint from which the
    same command continues after an interruption.

    \b
    Example:
      vexas-workshop train pretrain drawn/cohort.csv --cells neutrophil_segmented \\
        --backbone compact --preprocessing torchvision --crop-px 80 --batch-size 32 \\
        --schedule cosine --rate 2e-3 --epochs 2 -o pn
    """
    import torch

    from training.pretraining.run_folder import WEIGHTS, pretrain_into
    from vexas_edge.errors import HostError

    if device == "cuda" and not torch.cuda.is_available():
        raise HostError("torch finds no CUDA device on this PC; use --device cpu")
    use_threads(threads)
    cells, probe, lost = _cells(cohort, asked)
    talk = console_talk("pretrain", "batches")
    for line in lost:
        talk.say(f"warning: {line}")
    options = _options(asked)
    talk.say(f"{len(cells)} cells of {len(set(cells.patients))} patients, {len(lost)} unreadable")
    history = pretrain_into(
        out,
        cells,
        options,
        unreadable=lost,
        probe=probe,
        device=device,
        progress=talk.progress,
        say=talk.say,
    )
    best = min(history, key=lambda record: record["loss"])
    echo(f"{out / WEIGHTS}: epoch {best['epoch']} of {len(history)}, loss {best['loss']:.4f}")


def _cells(cohort: Path, asked: dict[str, Any]) -> Any:
    """The cells to learn from, those of the probe or None, and a line per unreadable cell."""
    from dataclasses import replace

    from training.pretraining.cell_stack import stack_cells
    from vexas_edge.smear.cohort import cases_of_split, read_cohort

    wanted = wanted_cells(asked)
    split, labelled = asked.pop("split"), asked.pop("probe")
    cells, lost = stack_cells(cases_of_split(read_cohort(cohort), split), wanted)
    if labelled is None:
        return cells, None, lost
    on_canvas = replace(wanted, canvas_px=wanted.canvas_px or CANVAS_PX)
    probe, also_lost = stack_cells(read_cohort(labelled), on_canvas)
    return cells, probe, lost + also_lost


def _options(asked: dict[str, Any]) -> Any:
    """The options that were given, with the dataclasses' defaults for the rest."""
    from dataclasses import fields

    from training.pretraining.batches import BatchOptions
    from training.pretraining.pace import PaceOptions
    from training.pretraining.trainer import PretrainOptions
    from training.pretraining.views import ViewOptions

    given = given_fields(asked)

    def part(kind: type, prefix: str = "") -> Any:
        words = {f.name: f"{prefix}{f.name}" for f in fields(kind)}
        return kind(**{name: given.pop(word) for name, word in words.items() if word in given})

    parts = {"views": part(ViewOptions), "pace": part(PaceOptions)}
    return PretrainOptions(**parts, batch=part(BatchOptions, "batch_"), **given)
