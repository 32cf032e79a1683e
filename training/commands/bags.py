"""The command that learns from patients whose cells have no labels: `bags`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from export.backbones import BACKBONES
from training.commands import names_from_words
from training.commands.background import background_option
from training.commands.covariate_options import asked_covariates, covariate_options
from vexas_edge.commands.console import echo, echo_lines
from vexas_edge.commands.options import reading_options

_PATH = click.Path(path_type=Path)
_AT_LEAST_ONE, _NOT_NEGATIVE = click.IntRange(1), click.FloatRange(0)
# Fields of `AggregationOptions`, and the other fields of `BagOptions`; an option that is not given
# keeps the default there.
_JOINING: tuple[tuple[str, Any, str], ...] = (
    (
        "--aggregation",
        click.Choice(("mean", "topk", "topbottom", "learned", "attention")),
        "How cells' logits become the patient's.  [default: mean]",
    ),
    ("--top-k", _AT_LEAST_ONE, "Cells that topk takes, and topbottom on each side.  [default: 10]"),
    (
        "--top-share",
        click.FloatRange(0, 1),
        "Share of a patient's cells to take where that is more than --top-k.  [default: 0]",
    ),
    (
        "--level",
        click.Choice(("cell", "position")),
        "Whether learned weighs cells, or positions in their images.  [default: cell]",
    ),
)
_LEARNING: tuple[tuple[str, Any, str], ...] = (
    ("--start", _PATH, "Weights to start from: .safetensors, .pt, .pth or .onnx."),
    (
        "--train",
        click.Choice(("head", "last", "all")),
        "What is trained: the head on an encoder as it is, its last stages too, or all.  "
        "[default: head]",
    ),
    ("--last", _AT_LEAST_ONE, "How many stages `--train last` trains.  [default: 4]"),
    (
        "--encoding",
        click.Choice(("l2", "raw")),
        "Whether encodings are divided by their L2 norm.  [default: l2]",
    ),
    (
        "--views",
        click.Choice(("none", "flips", "turns")),
        "How cells are shown: as they are, mirrored, or turned by quarters, too.  [default: flips]",
    ),
    (
        "--gradient-cells",
        _AT_LEAST_ONE,
        "Cells of a patient, drawn anew, that learn in a step; it saves memory.  [default: all]",
    ),
    (
        "--joined",
        click.Choice(("stacked", "head")),
        "Join covariates to the finished score by a regression, or in the network.  "
        "[default: stacked]",
    ),
    ("--rate", _NOT_NEGATIVE, "Learning rate of AdamW.  [default: 0.0001]"),
    ("--weight-decay", _NOT_NEGATIVE, "Its weight decay.  [default: 0]"),
    (
        "--epochs",
        _AT_LEAST_ONE,
        "The most epochs; how many is chosen on inner folds.  [default: 40]",
    ),
    ("--patients", _AT_LEAST_ONE, "Patients per batch.  [default: 16]"),
    ("--seed", click.IntRange(0), "Seed of first weights, batches and views.  [default: 0]"),
)


def _options(rows: tuple[tuple[str, Any, str], ...]) -> Callable[..., Any]:
    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, kind, text in reversed(rows):
            command = click.option(name, type=kind, help=text)(command)
        return command

    return add


@click.command()
@click.argument("cohort", type=_PATH)
@click.option(
    "--cells",
    required=True,
    help="Classes of cells to learn from, separated by commas, such as monocyte,promonocyte.",
)
@click.option("--split", default="fit", show_default=True, help="The cohort's split to learn from.")
@click.option("--positive", required=True, help="The group whose probability is the score.")
@click.option(
    "--backbone",
    type=click.Choice(tuple(BACKBONES)),
    required=True,
    help="Architecture of the encoder.",
)
@click.option(
    "--preprocessing",
    required=True,
    help="How pixels are scaled for the encoder, by name: keras-caffe, keras-tf, "
    "keras-efficientnet or torchvision.",
)
@click.option(
    "--canvas-px",
    type=click.IntRange(8, 4096),
    required=True,
    help="Side of the square in the middle of each image that is looked at, in pixels.",
)
@click.option(
    "--minimum-cells",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Leave out patients with fewer cells.",
)
@_options(_JOINING)
@_options(_LEARNING)
@covariate_options
@click.option(
    "--unbalanced",
    is_flag=True,
    help="Let each patient weigh the same in training, instead of each group.",
)
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    default=5,
    show_default=True,
    help="Folds of patients; each is judged by a network trained on the others.",
)
@click.option(
    "--skip-unreadable",
    is_flag=True,
    help="Warn of cells that cannot be read and continue without them.",
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads to use.  [default: all cores]")
@background_option
@reading_options
@click.option(
    "-o",
    "out",
    type=_PATH,
    required=True,
    help="Folder for the results; an interrupted run in it is continued.",
)
def bags(cohort: Path, out: Path, threads: int | None, **asked: Any) -> None:
    """Learn from the patients of COHORT (cohort.csv), whose cells have no labels of their own.

    Each cell gets a logit, and they are joined to that of the patient. Epochs and thresholds are
    chosen on the patients to fit on. The folder receives covariates.html and covariates.json, which
    have the score of images, the covariates and both together side by side, by folds, and
    bags.safetensors, the model that all patients taught.

    \b
    Example:
      vexas-workshop train bags drawn/cohort.csv --cells neutrophil_segmented --positive vexas \\
        --backbone compact --preprocessing torchvision --canvas-px 160 \\
        --start pn/encoder.safetensors --aggregation learned --rate 1e-3 --epochs 3 -o bags
    """
    import torch

    from training.bags.judging import BagTask, judged_and_trained
    from training.judging.page import write_beside
    from training.judging.words import lines_from_beside
    from vexas_edge.commands.console import say
    from vexas_edge.smear.cohort import cases_of_split, read_cohort

    if threads:
        torch.set_num_threads(threads)
    rows = cases_of_split(read_cohort(cohort), asked.pop("split"))
    columns = asked_covariates(asked.pop("covariates"), asked.pop("missing"), rows[0].covariates)
    task = BagTask(
        positive=asked.pop("positive"),
        asked=columns,
        folds=asked.pop("folds"),
        halved=asked.pop("halvings"),
        minimum_cells=asked.pop("minimum_cells"),
    )
    wanted = _wanted(asked)
    beside = judged_and_trained(rows, wanted, task, _bag_options(asked), out, say)
    write_beside(beside, f"Bags, {task.positive}", out)
    echo_lines(lines_from_beside(beside))
    echo(f"report: {out / 'covariates.html'}")


def _wanted(asked: dict[str, Any]) -> Any:
    from training.pretraining.cell_stack import WantedCells

    return WantedCells(
        classes=names_from_words(asked.pop("cells")),
        canvas_px=asked.pop("canvas_px"),
        skip_unreadable=asked.pop("skip_unreadable"),
        background=asked.pop("background"),
        reading=asked.pop("reading"),
    )


def _bag_options(asked: dict[str, Any]) -> Any:
    """The options that were given, with the dataclasses' defaults for the rest."""
    from training.bags.aggregation import AggregationOptions
    from training.bags.trainer import BagOptions

    given = {name: value for name, value in asked.items() if value is not None}
    words = {"aggregation": "method", "top_k": "k", "top_share": "share", "level": "level"}
    joining = {field: given.pop(word) for word, field in words.items() if word in given}
    if "start" in given:
        given["start"] = str(given["start"])
    balanced = not given.pop("unbalanced")
    return BagOptions(aggregation=AggregationOptions(**joining), balanced=balanced, **given)
