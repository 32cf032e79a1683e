"""The command that trains an encoder without labels: `pretrain`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from export.backbones import BACKBONES
from training.commands import names_from_words
from vexas_edge.commands.options import reading_options
from vexas_edge.text import one_line

_PATH = click.Path(path_type=Path)
_PROBE_CANVAS_PX = 272  # the paper's, on which whole cells are encoded


def _learning_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Everything of `PretrainOptions`; what is not given keeps its default there, the paper's."""
    at_least_one, some = click.IntRange(1), click.FloatRange(0)
    options: tuple[tuple[str, Any, str], ...] = (
        ("--start", _PATH, "Weights to start from: .safetensors, .pt or .pth.  [default: random]"),
        ("--crop-px", at_least_one, "Side of a view, cut out anywhere."),
        ("--flip", some, "Share of views mirrored, along each axis."),
        ("--turn-deg", some, "The largest turn either way."),
        ("--jitter", some, "Spread of stain between views; 0 for none, as in the paper."),
        ("--grey", some, "Share of views without colour."),
        ("--queue", click.IntRange(0), "Earlier projections to look for neighbours in (NNCLR)."),
        ("--projection", at_least_one, "Width of the projection head."),
        ("--temperature", some, "Of the similarities."),
        ("--batch-size", click.IntRange(2), "Cells a batch."),
        ("--batch-patients", click.IntRange(0), "Whose cells a batch is of; 0 for anyone's."),
        (
            "--batch-pair",
            click.Choice(("cell", "patient")),
            "Two views of a cell, or of two of a patient's.",
        ),
        ("--weight-decay", some, "AdamW's."),
        ("--schedule", click.Choice(("plateau", "cosine")), "How the rate falls."),
        ("--rate", some, "The first or highest learning rate."),
        ("--lowest-rate", some, "On a plateau the rate is not halved below it."),
        ("--warm-up", some, "Epochs over which the rate rises from nothing."),
        ("--epochs", at_least_one, "At most, or with `cosine` exactly."),
        ("--seed", click.IntRange(0), "Of everything that is random."),
    )
    for name, kind, said in reversed(options):
        command = click.option(name, type=kind, help=said)(command)
    return command


@click.command()
@click.argument("cohort", type=_PATH)
@click.option("--cells", required=True, help="Canonical classes, commas between them.")
@click.option("--split", default="fit", show_default=True, help="Of the cohort.")
@click.option("--backbone", type=click.Choice(tuple(BACKBONES)), required=True)
@click.option("--preprocessing", required=True, help="By name, as in a spec.")
@click.option(
    "--canvas-px", type=click.IntRange(8, 4096), help="Cut larger images to their middle."
)
@click.option("--probe", type=_PATH, help="A cohort whose `label` is its cells'; watched.")
@click.option("--skip-unreadable", is_flag=True, help="Name cells that cannot be read and go on.")
@_learning_options
@click.option("--device", type=click.Choice(("cpu", "cuda")), default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Cores to use.  [default: all]")
@reading_options
@click.option("-o", "out", type=_PATH, required=True, help="A folder; a run there goes on.")
def pretrain(cohort: Path, out: Path, device: str, threads: int | None, **asked: Any) -> None:
    """Train an encoder on the cells of COHORT (cohort.csv) by contrast alone, without labels.

    The defaults are the VEXAS paper's. The folder gets encoder.safetensors, which a spec takes as
    `weights`, pretrain.jsonl, pretrain.png and a checkpoint: the same command goes on from it.
    """
    import torch

    from training.pretraining.run_folder import WEIGHTS, pretrain_into
    from vexas_edge.commands.progress import ProgressLine
    from vexas_edge.errors import HostError

    if device == "cuda" and not torch.cuda.is_available():
        raise HostError("torch finds no CUDA device here; take --device cpu")
    if threads:
        torch.set_num_threads(threads)
    cells, probe, lost = _cells(cohort, asked)
    for line in lost:
        click.echo(one_line(f"warning: {line}"), err=True)
    progress = ProgressLine("pretrain", unit="batches")

    def say(text: str) -> None:
        progress.clear()
        click.echo(text, err=True)

    options = _options(asked)
    say(f"{len(cells)} cells of {len(set(cells.patients))} patients, {len(lost)} unreadable")
    history = pretrain_into(
        out,
        cells,
        options,
        unreadable=lost,
        probe=probe,
        device=device,
        progress=progress,
        say=say,
    )
    best = min(history, key=lambda record: record["loss"])
    click.echo(f"{out / WEIGHTS}: epoch {best['epoch']} of {len(history)}, loss {best['loss']:.4f}")


def _cells(cohort: Path, asked: dict[str, Any]) -> Any:
    """The cells to learn from, those of the probe or None, and the unreadable ones in words."""
    from dataclasses import replace

    from training.pretraining.cell_stack import WantedCells, stack_cells
    from vexas_edge.smear.cohort import cases_of_split, read_cohort

    wanted = WantedCells(
        classes=names_from_words(asked.pop("cells")),
        canvas_px=asked.pop("canvas_px"),
        skip_unreadable=asked.pop("skip_unreadable"),
        reading=asked.pop("reading"),
    )
    split, labelled = asked.pop("split"), asked.pop("probe")
    cells, lost = stack_cells(cases_of_split(read_cohort(cohort), split), wanted)
    if labelled is None:
        return cells, None, lost
    on_canvas = replace(wanted, canvas_px=wanted.canvas_px or _PROBE_CANVAS_PX)
    probe, also_lost = stack_cells(read_cohort(labelled), on_canvas)
    return cells, probe, lost + also_lost


def _options(asked: dict[str, Any]) -> Any:
    """What was asked for; the dataclasses' defaults for the rest."""
    from dataclasses import fields

    from training.pretraining.batches import BatchOptions
    from training.pretraining.pace import PaceOptions
    from training.pretraining.trainer import PretrainOptions
    from training.pretraining.views import ViewOptions

    given = {name: value for name, value in asked.items() if value is not None}
    if "start" in given:
        given["start"] = str(given["start"])

    def part(kind: type, prefix: str = "") -> Any:
        words = {f.name: f"{prefix}{f.name}" for f in fields(kind)}
        return kind(**{name: given.pop(word) for name, word in words.items() if word in given})

    parts = {"views": part(ViewOptions), "pace": part(PaceOptions)}
    return PretrainOptions(**parts, batch=part(BatchOptions, "batch_"), **given)
