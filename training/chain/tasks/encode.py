"""The work of the stage `encode`: a model's cells become vectors, of whatever group they are."""

from dataclasses import dataclass
from pathlib import Path

from training.chain.inputs import GivenCells, GivenFile
from training.encodings.encoder import Wanted, encode_rows
from training.encodings.table import Encodings, write_encodings
from training.talk import Talk
from vexas_edge.cells.background import Background
from vexas_edge.cells.limits import LargerCells
from vexas_edge.smear.options import ReadOptions


@dataclass(frozen=True, kw_only=True)
class EncodeInputs:
    """The cells and their encoder.

    background: the bare slide that each case is brought to; None for none.
    libraries: what encodings depend on besides.
    """

    cells: GivenCells
    weights: GivenFile
    backbone: str
    preprocessing: str
    canvas_px: int
    larger: LargerCells
    background: Background | None
    libraries: dict[str, str]


def make_encodings(to: Path, given: EncodeInputs, talk: Talk) -> None:
    """Write `encodings.npz` and `metadata.csv`."""
    write_encodings(encodings_of(given, talk), to)


def encodings_of(given: EncodeInputs, talk: Talk) -> Encodings:
    """The encodings of all cells that can be read."""
    wanted = Wanted(
        cells=given.cells.classes,
        canvas_px=given.canvas_px,
        larger=given.larger,
        background=given.background,
        reading=ReadOptions(),
    )
    encoded = encode_rows(
        given.cells.rows,
        wanted,
        encoder=given.backbone,
        weights=given.weights.path.resolve(),
        preprocessing=given.preprocessing,
        say=talk.say,
    )
    for text in encoded.unreadable:
        talk.say(f"not used: {text}")
    return encoded.found
