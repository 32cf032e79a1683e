"""The options that commands which learn from a cohort's cells share, each defined once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from export.backbones import BACKBONES
from training.commands import names_from_words
from training.commands.background import background_option
from vexas_edge.commands.options import reading_options

_PATH = click.Path(path_type=Path)
# Of options that set fields of dataclasses: name, type and help.
Rows = Sequence[tuple[str, Any, str]]

_COHORT = (
    click.argument("cohort", type=_PATH),
    click.option(
        "--cells",
        required=True,
        help="Classes of cells to learn from, separated by commas, such as monocyte,promonocyte.",
    ),
    click.option(
        "--split", default="fit", show_default=True, help="The cohort's split to learn from."
    ),
    click.option(
        "--backbone",
        type=click.Choice(tuple(BACKBONES)),
        required=True,
        help="Architecture of the encoder.",
    ),
)
_RUN = (
    click.option(
        "--skip-unreadable",
        is_flag=True,
        help="Warn of cells that cannot be read and continue without them.",
    ),
    click.option(
        "--threads", type=click.IntRange(1), help="CPU threads to use.  [default: all cores]"
    ),
    click.option(
        "-o",
        "out",
        type=_PATH,
        required=True,
        help="Folder for the results; an interrupted run in it is continued.",
    ),
)


def learning_options(*, canvas: Any) -> Callable[..., Any]:
    """Add COHORT and the options of cells, encoder, threads and results.

    `wanted_cells` takes those of the cells.

    Args:
        canvas: the option --canvas-px.
    """
    decorators = (*_COHORT, preprocessing_option, canvas, background_option, *_RUN, reading_options)
    return lambda command: _with(command, decorators)


def preprocessing_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --preprocessing."""
    return click.option(
        "--preprocessing",
        required=True,
        help="How pixels are scaled for the encoder, by name: keras-caffe, keras-tf, "
        "keras-efficientnet or torchvision.",
    )(command)


def minimum_cells_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --minimum-cells, with which patients are left out."""
    return click.option(
        "--minimum-cells",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Leave out patients with fewer cells.",
    )(command)


def field_options(rows: Rows) -> Callable[..., Any]:
    """Add options that set fields; one that is not given is None, and keeps the field's default."""
    return lambda command: _with(
        command, [click.option(name, type=kind, help=text) for name, kind, text in rows]
    )


def given_fields(asked: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that were given, with the path of --start as text."""
    given = {name: value for name, value in asked.items() if value is not None}
    return given | ({"start": str(given["start"])} if "start" in given else {})


def wanted_cells(asked: dict[str, Any]) -> Any:
    """The WantedCells of what was asked for, from which their options are taken out."""
    from training.pretraining.cell_stack import WantedCells

    return WantedCells(
        classes=names_from_words(asked.pop("cells")),
        canvas_px=asked.pop("canvas_px"),
        skip_unreadable=asked.pop("skip_unreadable"),
        background=asked.pop("background"),
        reading=asked.pop("reading"),
    )


def use_threads(threads: int | None) -> None:
    """Let torch use so many threads; None leaves it all cores."""
    import torch

    if threads:
        torch.set_num_threads(threads)


def _with(command: Callable[..., Any], decorators: Sequence[Any]) -> Callable[..., Any]:
    for decorate in reversed(decorators):
        command = decorate(command)
    return command
