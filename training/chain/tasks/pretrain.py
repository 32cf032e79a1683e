"""The work of the stage `pretrain`: the encoder is trained on cells without labels."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.chain.inputs import GivenCells, GivenFile
from training.pretraining.cell_stack import WantedCells, stack_cells
from training.pretraining.run_folder import CHECKPOINT, pretrain_into
from training.pretraining.trainer import PretrainOptions
from training.talk import Talk
from vexas_edge.cells.background import Background
from vexas_edge.smear.options import ReadOptions


@dataclass(frozen=True, kw_only=True)
class PretrainInputs:
    """The cells and how they are learnt from.

    options: with the mere name of the weights to start from.
    start: these weights; None for random ones.
    background: the bare slide that each case is brought to; None for none.
    libraries: what weights depend on besides.
    """

    cells: GivenCells
    canvas_px: int
    background: Background | None
    options: PretrainOptions
    start: GivenFile | None
    libraries: dict[str, Any]


def make_weights(to: Path, given: PretrainInputs, talk: Talk) -> None:
    """Write the weights, a log and a plot; goes on from a checkpoint in the folder."""
    wanted = WantedCells(
        classes=given.cells.classes,
        canvas_px=given.canvas_px,
        skip_unreadable=True,
        background=given.background,
        reading=ReadOptions(),
    )
    stack, lost = stack_cells(given.cells.rows, wanted)
    for text in lost:
        talk.say(f"not used: {text}")
    options = given.options
    if given.start:
        options = replace(options, start=str(given.start.path))
    pretrain_into(to, stack, options, unreadable=lost, progress=talk.progress, say=talk.say)
    (to / CHECKPOINT).unlink()
