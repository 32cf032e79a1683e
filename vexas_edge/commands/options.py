"""The options that several commands share, each said once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import click

from vexas_edge.choices import ClassFrom, Layout
from vexas_edge.engines.contract import DEVICES, ENGINES, PRECISIONS

PATH = click.Path(path_type=Path)


def case_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.argument("cases", nargs=-1, required=True, type=PATH, metavar="CASE..."),
        click.option("--recursive", is_flag=True, help="Find the cases below each CASE."),
    )
    return with_options(command, options)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how names are read, for `vexas_edge.smear.options.read_options`."""
    options = (
        click.option(
            "--layout", type=click.Choice(get_args(Layout)), default="auto", show_default=True
        ),
        click.option(
            "--class-from",
            type=click.Choice(get_args(ClassFrom)),
            default="folder",
            show_default=True,
            help="What to trust where folder and file prefix name a cell.",
        ),
        click.option("--cell-type", help="The class of images that no class folder holds."),
        click.option(
            "--class-map",
            metavar="NAME|FILE",
            help="Vocabulary of class names: cellavision, barcelona, munich, vexas, or your TOML.",
        ),
    )
    return with_options(command, options)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        bundle_option(required=True),
        click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True),
        click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True),
        click.option(
            "--precision",
            type=click.Choice(("auto", *PRECISIONS)),
            default="auto",
            show_default=True,
        ),
        click.option("--threads", type=click.IntRange(1, 256), help="Compute threads."),
    )
    return with_options(command, options)


def bundle_option(*, required: bool) -> Callable[..., Any]:
    return click.option(
        "--bundle",
        type=PATH,
        envvar="VEXAS_EDGE_BUNDLE",
        required=required,
        help="The bundle, a .vxb file or its folder.  [or $VEXAS_EDGE_BUNDLE]",
    )


def with_options(command: Callable[..., Any], options: Sequence[Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command
