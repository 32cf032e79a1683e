"""The command that learns from patients whose cells have no labels: `bags`."""

from pathlib import Path
from typing import Any

import click

from training.commands.covariate_options import asked_covariates, covariate_options
from training.commands.learning_options import (
    Rows,
    field_options,
    given_fields,
    learning_options,
    minimum_cells_option,
    use_threads,
    wanted_cells,
)
from vexas_edge.commands.console import echo, echo_lines

_PATH = click.Path(path_type=Path)
_AT_LEAST_ONE, _NOT_NEGATIVE = click.IntRange(1), click.FloatRange(0)
# Fields of `AggregationOptions`, and the other fields of `BagOptions`; an option that is not given
# keeps the default there.
_JOINING: Rows = (
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
_LEARNING: Rows = (
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
    (
        "--encoder-rate",
        click.FloatRange(0, min_open=True),
        "Learning rate of the encoder's stages.  [default: that of --rate]",
    ),
    ("--weight-decay", _NOT_NEGATIVE, "Its weight decay.  [default: 0]"),
    (
        "--epochs",
        _AT_LEAST_ONE,
        "The most epochs; how many is chosen on inner folds.  [default: 40]",
    ),
    ("--patients", _AT_LEAST_ONE, "Patients per batch.  [default: 16]"),
    ("--seed", click.IntRange(0), "Seed of first weights, batches and views.  [default: 0]"),
)


@click.command()
@learning_options(
    canvas=click.option(
        "--canvas-px",
        type=click.IntRange(8, 4096),
        required=True,
        help="Side of the square in the middle of each image that is looked at, in pixels.",
    )
)
@click.option("--positive", required=True, help="The group whose probability is the score.")
@minimum_cells_option
@field_options(_JOINING)
@field_options(_LEARNING)
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
    from training.bags.judging import judged_and_trained, read_bags
    from training.judging.beside import BesideOptions
    from training.judging.page import write_beside
    from training.judging.words import lines_from_beside
    from vexas_edge.commands.console import say
    from vexas_edge.smear.cohort import cases_of_split, read_cohort

    use_threads(threads)
    rows = cases_of_split(read_cohort(cohort), asked.pop("split"))
    columns = asked_covariates(asked.pop("covariates"), asked.pop("missing"), rows[0].covariates)
    how = BesideOptions(asked=columns, folds=asked.pop("folds"), halved=asked.pop("halvings"))
    minimum_cells, positive = asked.pop("minimum_cells"), asked.pop("positive")
    wanted = wanted_cells(asked)
    options = _bag_options(asked)
    found = read_bags(rows, wanted, minimum_cells, say)
    beside = judged_and_trained(found, positive, how, options, out, say)
    write_beside(beside, f"Bags, {positive}", out)
    echo_lines(lines_from_beside(beside))
    echo(f"report: {out / 'covariates.html'}")


def _bag_options(asked: dict[str, Any]) -> Any:
    """The options that were given, with the dataclasses' defaults for the rest."""
    from export.bags.aggregation import AggregationOptions
    from training.bags.trainer import BagOptions

    given = given_fields(asked)
    words = {"aggregation": "method", "top_k": "k", "top_share": "share", "level": "level"}
    joining = {field: given.pop(word) for word, field in words.items() if word in given}
    balanced = not given.pop("unbalanced")
    return BagOptions(aggregation=AggregationOptions(**joining), balanced=balanced, **given)
