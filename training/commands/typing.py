"""The commands that learn which class each cell is of, `typing`, and judge it: `types`, `blind`."""

from pathlib import Path
from typing import Any

import click

from export.backbones import BACKBONES
from training.commands import console_talk
from training.commands.learning_options import (
    Rows,
    field_options,
    given_fields,
    preprocessing_option,
    use_threads,
)
from vexas_edge.commands.console import echo, echo_lines
from vexas_edge.commands.options import reading_options, types_option
from vexas_edge.smear.options import ReadOptions

_PATH = click.Path(path_type=Path)
_AT_LEAST_ONE, _NOT_NEGATIVE = click.IntRange(1), click.FloatRange(0)
_SHARE = click.FloatRange(0, 1)
# Fields of `ViewOptions`, and other fields of `TypingOptions`; an option that is not given keeps
# the default there.
_VIEWS: Rows = (
    ("--jitter", _NOT_NEGATIVE, "How much the stain differs between views.  [default: 0.15]"),
    ("--scale", _NOT_NEGATIVE, "How much the magnification differs.  [default: 0.12]"),
    ("--blur-px", _NOT_NEGATIVE, "Largest blur of a view, in pixels.  [default: 1]"),
    (
        "--shift-px",
        click.IntRange(0),
        "How far a view may lie from a cell's middle, in pixels.  [default: 8]",
    ),
)
_LEARNING: Rows = (
    ("--start", _PATH, "Weights to start from: .safetensors, .pt, .pth or .onnx."),
    (
        "--train",
        click.Choice(("head", "last", "all")),
        "What is trained: the classifier on an encoder as it is, its last stages too, or all.  "
        "[default: last]",
    ),
    ("--last", _AT_LEAST_ONE, "How many stages `--train last` trains.  [default: 6]"),
    (
        "--head",
        click.Choice(("softmax", "svm")),
        "The classifier: a linear layer, or an SVM on the encodings.  [default: softmax]",
    ),
    ("--C", click.FloatRange(0, min_open=True), "The SVM's.  [default: 1]"),
    (
        "--canvas-px",
        click.IntRange(8, 4096),
        "Side of the square in the middle of each image that is looked at, in pixels; it should "
        "hold the largest cells.  [default: 192]",
    ),
    (
        "--copies",
        _AT_LEAST_ONE,
        "Views of each cell that are kept where some stages run only once.  [default: 6]",
    ),
    (
        "--rate",
        _NOT_NEGATIVE,
        "Highest learning rate of AdamW, of the classifier.  [default: 0.002]",
    ),
    (
        "--encoder-rate",
        click.FloatRange(0, min_open=True),
        "The same of the encoder's stages.  [default: 0.0003]",
    ),
    ("--weight-decay", _NOT_NEGATIVE, "Weight decay.  [default: 0.01]"),
    ("--dropout", _SHARE, "Share of features left out at random.  [default: 0.3]"),
    (
        "--class-power",
        _SHARE,
        "How much more rare classes weigh: 0, every cell alike; 1, every class.  [default: 0.5]",
    ),
    ("--epochs", _AT_LEAST_ONE, "Number of epochs.  [default: 12]"),
    ("--batch-size", _AT_LEAST_ONE, "Cells per batch.  [default: 32]"),
    (
        "--precision",
        click.FloatRange(0, 1, min_open=True),
        "Share of cells of each name that must be right; cells that are less sure get none.  "
        "[default: 0.9]",
    ),
    ("--seed", click.IntRange(0), "Seed of first weights, batches and views.  [default: 0]"),
)


@click.command()
@click.argument("sources", type=_PATH)
@click.option(
    "--backbone",
    type=click.Choice(tuple(BACKBONES)),
    required=True,
    help="Architecture of the encoder.",
)
@preprocessing_option
@field_options(_VIEWS)
@field_options(_LEARNING)
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    default=5,
    show_default=True,
    help="Folds of patients; the cells of each are judged by what the others teach.",
)
@click.option(
    "--cascade",
    is_flag=True,
    help="Tell wide classes first; a second model tells segmented from band neutrophils, and "
    "immature granulocytes apart.",
)
@click.option("--name", default="leukocytes", show_default=True, help="The bundle's name.")
@click.option(
    "--skip-unreadable",
    is_flag=True,
    help="Warn of cells that cannot be read and continue without them.",
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads to use.  [default: all cores]")
@click.option(
    "-o",
    "out",
    type=_PATH,
    required=True,
    help="Folder for the results; an interrupted run in it is continued.",
)
def typing(sources: Path, threads: int | None, out: Path, **asked: Any) -> None:
    """Learn which class each cell is of from the labelled cells that SOURCES (.toml) names.

    SOURCES has a table for each place: `[sources.NAME]` with `cohort = "cohort.csv"`, whose cases
    have class folders (`split = "fit"` takes that split alone), `folder = "..."`, with a folder for
    each class, or `labels = "labels.csv"`, with the columns file, cell_class and, if known,
    patient. `reading = { class_map = "munich" }` says what names of classes mean there.

    It is judged by folds of patients (typing.html, typing.json), beside features that nobody
    trained; then everything is learnt from. The folder receives spec.toml and the parts that it
    names, for `vexas-workshop export bundle`.

    \b
    Example:
      vexas-workshop train typing sources.toml --backbone squeezenet11 \\
        --preprocessing keras-caffe --start squeezenet11.onnx -o types
    """
    from training.typed.report import PAGE, lines_from_judgement
    from training.typed.run import judged_and_taught

    use_threads(threads)
    words = ("folds", "cascade", "name", "skip_unreadable")
    own = {word: asked.pop(word) for word in words}
    talk = console_talk("typing", "trainings")
    found = judged_and_taught(sources, _options(asked), out, say=talk.say, **own)
    build = f"{out / 'spec.toml'}: build the bundle with vexas-workshop export bundle"
    echo_lines([*lines_from_judgement(found), "", str(out / PAGE), build])


@click.command()
@click.argument("bundle", type=_PATH)
@click.argument("sources", type=_PATH)
@click.option(
    "-o", "out", type=_PATH, help="Folder for typing.html and typing.json.  [default: none]"
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads to use.  [default: all cores]")
def types(bundle: Path, sources: Path, out: Path | None, threads: int | None) -> None:
    """Judge how the model of BUNDLE (.vxb) names the labelled cells that SOURCES (.toml) names.

    SOURCES is as `train typing` has it. The cells must be others than those that the model was
    fitted on, and of other patients; nothing can check that here. Tables are those of the Leukopy
    study: eight classes, neutrophils and immature granulocytes, and eleven.

    \b
    Example:
      vexas-workshop train types TYPES.vxb sources.toml -o judged
    """
    from training.typed.bundled import judged_bundle
    from training.typed.report import PAGE, lines_from_judgement, write_judgement
    from training.typing.sources import sources_from_file
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.engines.contract import EngineOptions
    from vexas_edge.runtime.session import Sessions

    talk, opened = console_talk("types", "cells"), open_bundle(bundle)
    with Sessions(opened, EngineOptions(threads=threads)) as sessions:
        found = judged_bundle(sessions, sources_from_file(sources), sources.parent, talk.say)
    echo_lines(lines_from_judgement(found))
    if out:
        write_judgement(found, opened.manifest.name, out)
        echo(f"{out / PAGE}")


@click.command()
@click.argument("bundle", type=_PATH)
@click.argument("cohort", type=_PATH)
@types_option()
@click.option("--split", default="judge", show_default=True, help="The cohort's split to score.")
@reading_options
@click.option("--threads", type=click.IntRange(1), help="CPU threads to use.  [default: all cores]")
@click.option(
    "-o", "out", type=_PATH, help="Folder for blind.html and blind.json.  [default: none]"
)
def blind(
    bundle: Path,
    cohort: Path,
    types: Path | None,
    split: str,
    reading: ReadOptions,
    threads: int | None,
    out: Path | None,
) -> None:
    """Score each signed case of COHORT (.csv) by BUNDLE (.vxb) twice: as signed, and blindly.

    The second time all names are hidden, so that a model decides which cells each score stands on.
    How far scores move says whether `judged_typed` may stand in the bundle's spec. The patients
    must be others than those that either model was fitted on, so `train typing` must have had the
    other split alone; nothing can check that here.

    \b
    Example:
      vexas-workshop train blind site.vxb cohort.csv --types-from TYPES.vxb -o blind
    """
    from training.typed.blind import scored_blind
    from training.typed.blind_report import lines_from_blind, write_blind
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.engines.contract import EngineOptions
    from vexas_edge.runtime.session import Sessions
    from vexas_edge.smear.cohort import cases_of_split, read_cohort

    rows, opened = cases_of_split(read_cohort(cohort), split), open_bundle(bundle)
    named_by = open_bundle(types) if types else None
    with Sessions(opened, EngineOptions(threads=threads), types=named_by) as sessions:
        cases = f"split {split} of {cohort.name}, {len(rows)} cases"
        found = scored_blind(rows, cases, reading, sessions, console_talk("blind"))
    echo_lines(lines_from_blind(found))
    if out:
        echo(f"{write_blind(found, f'{opened.manifest.name}: cells named by a model', out)}")


def _options(asked: dict[str, Any]) -> Any:
    """The options that were given, with the dataclasses' defaults for the rest."""
    from dataclasses import replace

    from training.typing.options import TypingOptions, default_views

    asked["C"] = asked.pop("c")
    given = given_fields(asked)
    views = default_views(given.get("canvas_px", TypingOptions.canvas_px))
    words = ("jitter", "scale", "blur_px", "shift_px")
    own = {word: given.pop(word) for word in words if word in given}
    return TypingOptions(views=replace(views, **own), **given)
