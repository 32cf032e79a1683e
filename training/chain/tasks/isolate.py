"""The work of the stage `isolate`: a model's cells are cut out of their images."""

from dataclasses import dataclass
from pathlib import Path

from training.chain.inputs import GivenCells, GivenFile
from training.mask_network.isolated_cohort import CutOut, isolate_rows
from training.talk import Talk
from vexas_edge.cells.background import Background
from vexas_edge.cells.limits import IsolationLimits
from vexas_edge.scoring.images.isolator import opened_isolator
from vexas_edge.smear.options import ReadOptions


@dataclass(frozen=True, kw_only=True)
class IsolateInputs:
    """The cells and what isolates them.

    background: the bare slide that each case is brought to before; None for none.
    libraries: what the masks depend on besides.
    """

    cells: GivenCells
    network: GivenFile
    limits: IsolationLimits
    background: Background | None
    libraries: dict[str, str]


def make_isolated(to: Path, given: IsolateInputs, talk: Talk) -> None:
    """Write the cells alone on black, in a folder per sample, and `lost.csv`."""
    with opened_isolator(given.network.path.read_bytes(), given.limits) as isolator:
        asked = CutOut(
            isolate=isolator,
            cells=given.cells.classes,
            background=given.background,
            reading=ReadOptions(),
        )
        lost = isolate_rows(given.cells.rows, asked, to)
    talk.say(f"{len(lost)} cells lost; lost.csv lists them")
