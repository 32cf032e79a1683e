"""The command `background`, which measures a cohort's bare slide, and the option that uses it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from training.commands import names_from_words
from vexas_edge.cells.background import Background
from vexas_edge.commands.console import echo
from vexas_edge.commands.options import reading_options
from vexas_edge.smear.options import ReadOptions

_PATH = click.Path(path_type=Path)
_BRIGHTEST = 255


class _Levels(click.ParamType[Background]):
    """Three levels, as `background` prints them."""

    name = "R,G,B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Background:
        words = str(value).split(",")
        if len(words) != 3 or not all(word.isdecimal() for word in words):
            self.fail(f"{value!r} is not three levels such as 254,230,204", param, ctx)
        red, green, blue = map(int, words)
        if not all(1 <= level <= _BRIGHTEST for level in (red, green, blue)):
            self.fail(f"{value!r}: a level is 1 to {_BRIGHTEST}", param, ctx)
        return red, green, blue


def background_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --background; the command gets `background`, a Background or None."""
    return click.option(
        "--background",
        type=_Levels(),
        help="Bring each case's bare slide to these levels of red, green and blue, which "
        "`vexas-workshop train background` measures.  [default: leave cells as they are]",
    )(command)


@click.command()
@click.argument("cohort", type=_PATH)
@click.option(
    "--cells",
    required=True,
    help="Classes of the model's cells, separated by commas, such as monocyte,promonocyte.",
)
@click.option("--split", default="fit", show_default=True, help="The cohort's split to measure.")
@reading_options
def background(cohort: Path, cells: str, split: str, reading: ReadOptions) -> None:
    """Print the bare slide of COHORT (cohort.csv): levels of red, green and blue.

    A model that normalises brings the bare slide of every case to it, in training and in scoring.
    It is `background` in a bundle's spec, and --background of the other commands.

    \b
    Example:
      vexas-workshop train background drawn/cohort.csv --cells neutrophil_segmented
    """
    from training.encodings.slide import background_of_cohort
    from vexas_edge.smear.cohort import cases_of_split, read_cohort

    rows = cases_of_split(read_cohort(cohort), split)
    found = background_of_cohort(rows, names_from_words(cells), reading)
    echo(",".join(map(str, found)))
