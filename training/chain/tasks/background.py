"""The work of the stage `background`: the bare slide of the cohort is measured."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from training.chain.inputs import GivenCells
from training.encodings.slide import background_of_cohort
from training.talk import Talk
from vexas_edge.files import write_atomically
from vexas_edge.smear.options import ReadOptions

BACKGROUND = "background.json"


@dataclass(frozen=True, kw_only=True)
class BackgroundInputs:
    """The cells whose slide is measured."""

    cells: GivenCells


def make_background(to: Path, given: BackgroundInputs, _: Talk) -> None:
    """Write `background.json`: red, green and blue."""
    found = background_of_cohort(given.cells.rows, given.cells.classes, ReadOptions())
    write_atomically(to / BACKGROUND, msgspec.json.encode(found))
