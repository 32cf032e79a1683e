"""The command that learns from tables of cells, such as counts of genes: `expression`."""

from pathlib import Path
from typing import Any

import click

from training.commands import console_talk
from training.commands.learning_options import Rows, field_options, given_fields, use_threads
from vexas_edge.commands.console import echo, echo_lines
from vexas_edge.errors import InputError

_PATH = click.Path(path_type=Path)
_AT_LEAST_ONE, _NOT_NEGATIVE = click.IntRange(1), click.FloatRange(0)
_SHARE = click.FloatRange(0, 1)
# Fields of `ExpressionOptions`; an option that is not given keeps the default there.
_LEARNING: Rows = (
    (
        "--head",
        click.Choice(("feedforward", "transformer", "graph")),
        "Network behind the 256 numbers that the encoder keeps of a cell.  [default: feedforward]",
    ),
    (
        "--per",
        click.Choice(("cell", "case")),
        "Whether a label is told of each cell, or of a sample's cells together.  [default: cell]",
    ),
    (
        "--weighting",
        click.Choice(("mean", "learned")),
        "How the cells of a sample weigh, with --per case.  [default: mean]",
    ),
    ("--hidden", _AT_LEAST_ONE, "Width of the layer before the 256.  [default: 512]"),
    ("--anchors", _AT_LEAST_ONE, "Most cells that --head graph keeps.  [default: 1024]"),
    ("--neighbours", _AT_LEAST_ONE, "Anchors that a cell is joined to.  [default: 10]"),
    (
        "--pretrain-epochs",
        click.IntRange(0),
        "Epochs of the autoencoder, without labels; 0 leaves it out.  [default: 30]",
    ),
    ("--epochs", _AT_LEAST_ONE, "Epochs of head and encoder together.  [default: 40]"),
    ("--rate", click.FloatRange(0, min_open=True), "Highest learning rate.  [default: 0.001]"),
    ("--weight-decay", _NOT_NEGATIVE, "Weight decay.  [default: 0.01]"),
    ("--input-dropout", _SHARE, "Share of features left out in training.  [default: 0.5]"),
    ("--dropout", _SHARE, "The same of what follows.  [default: 0.3]"),
    ("--seed", click.IntRange(0), "Seed of weights, batches and folds.  [default: 0]"),
)


@click.command()
@click.argument("tables", nargs=-1, required=True, type=_PATH)
@click.option(
    "--cells",
    "cells_csv",
    type=_PATH,
    required=True,
    help="A CSV with the columns cell, label, patient and, if known, sample and lineage.",
)
@click.option("--positive", required=True, help="The label that a bundle looks for.")
@click.option(
    "--names",
    type=click.Choice(("symbol", "ensembl", "other")),
    default="symbol",
    show_default=True,
    help="What the names of features are.",
)
@click.option(
    "--numbers",
    type=click.Choice(("counts", "logs")),
    default="counts",
    show_default=True,
    help="Counts as they were counted, or numbers to be taken as they are, such as logarithms.",
)
@click.option(
    "--pretrain-on",
    multiple=True,
    help="A lineage that the autoencoder learns from, again for each.  [default: all]",
)
@click.option(
    "--from",
    "sources",
    multiple=True,
    help="A lineage to learn from, again for each, to be judged on all others (zero-shot).",
)
@click.option("--frozen", is_flag=True, help="Leave the encoder as the autoencoder made it.")
@field_options(_LEARNING)
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    default=5,
    show_default=True,
    help="Folds of patients; each is judged by what the others teach.",
)
@click.option(
    "--missing-share",
    type=_SHARE,
    default=0.2,
    show_default=True,
    help="Share of features that a table may lack and still be scored.",
)
@click.option(
    "--minimum-cells",
    type=_AT_LEAST_ONE,
    default=10,
    show_default=True,
    help="Cells that a table needs to be scored.",
)
@click.option("--name", default="expression", show_default=True, help="The bundle's name.")
@click.option("--synthetic", is_flag=True, help="Say in the bundle that the cells were drawn.")
@click.option("--threads", type=_AT_LEAST_ONE, help="CPU threads to use.  [default: all cores]")
@click.option("-o", "out", type=_PATH, required=True, help="Folder for the results.")
def expression(
    tables: tuple[Path, ...], cells_csv: Path, threads: int | None, out: Path, **asked: Any
) -> None:
    """Learn classes of cells from TABLES of numbers, such as counts of genes.

    A table is a .csv, .tsv or .txt, plain or as .gz, an .npz, an .h5ad, or the folder of a
    matrix.mtx, with a row for each cell; of other folders, all tables below are taken. An
    autoencoder takes all features to 256 numbers; a head tells classes from them. All is judged by
    folds of patients, beside regressions, one gene and one class; with --from, on lineages that
    were not learnt from, too (expression.json). Then all cells teach. The folder receives spec.toml
    and the parts that it names, for `vexas-workshop export bundle`.

    \b
    Example:
      vexas-workshop train synth-tables -o drawn --patients 12
      vexas-workshop train expression drawn/tables --cells drawn/cells.csv --positive ill -o taught
    """
    from training.expression.bundling import BundleOptions
    from training.expression.cells import TakenNumbers, expression_cells
    from training.expression.report import lines_from_expression
    from training.expression.run import ExpressionRun, learnt_from_tables
    from vexas_edge.cells.vectors.cases import find_tables

    use_threads(threads)
    talk = console_talk("expression", "trainings")
    bundle = BundleOptions(
        positive=asked.pop("positive"),
        names=asked.pop("names"),
        counts=asked["numbers"] == "counts",
        missing_share=asked.pop("missing_share"),
        minimum_cells=asked.pop("minimum_cells"),
        synthetic=asked.pop("synthetic"),
    )
    words = ("folds", "sources", "name")
    own = {word: asked.pop(word) for word in words}
    run = ExpressionRun(learning=_options(asked), bundle=bundle, **own)
    found = [case for table in tables for case in find_tables(table)]
    if problem := next((case.problem for case in found if case.problem), None):
        raise InputError(problem)
    taken = TakenNumbers(names=bundle.names, counts=bundle.counts)
    cells = expression_cells([case.path for case in found], cells_csv, talk.say, taken)
    report = learnt_from_tables(cells, run, out, talk.say)
    echo_lines(lines_from_expression(report))
    echo(f"{out / 'spec.toml'}: build the bundle with vexas-workshop export bundle")


@click.command(name="synth-tables")
@click.option(
    "--patients", type=_AT_LEAST_ONE, default=12, show_default=True, help="Every second is ill."
)
@click.option("--cells", type=_AT_LEAST_ONE, default=60, show_default=True, help="Of each patient.")
@click.option(
    "--genes", type=_AT_LEAST_ONE, default=120, show_default=True, help="That are counted."
)
@click.option(
    "--strength",
    type=_NOT_NEGATIVE,
    default=1.0,
    show_default=True,
    help="How much affected genes are raised in those who are ill, as a logarithm; 0 for not.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draw.")
@click.option("-o", "out", type=_PATH, required=True, help="Folder for the tables.")
def synth_tables(out: Path, **asked: Any) -> None:
    """Draw tables of cells with counts of genes, half of the patients ill, to try all with.

    The folder receives a table for each patient, cells.csv for `train expression`, and cohort.csv
    for `vexas-workshop calibrate`.

    \b
    Example:
      vexas-workshop train synth-tables -o drawn --patients 12 --strength 1
    """
    from training.drawn.expression import DrawnExpression, drawn_expression, write_drawn_patients

    drawn = drawn_expression(DrawnExpression(**asked))
    write_drawn_patients(drawn, out)
    echo(f"{out}: {len(drawn.rows)} cells of {asked['patients']} patients")


def _options(asked: dict[str, Any]) -> Any:
    """The options that were given, with the dataclass' defaults for the rest."""
    from training.expression.options import ExpressionOptions

    scaled: dict[str, Any] = (
        {} if asked.pop("numbers") == "counts" else {"library_size": None, "log1p": False}
    )
    lineages, frozen = asked.pop("pretrain_on"), asked.pop("frozen")
    given = given_fields(asked)
    return ExpressionOptions(
        **scaled, **given, pretrain_lineages=tuple(lineages), fine_tune=not frozen
    )
