"""The work of the stage `reference`: the bundle learns how its training patients look."""

from dataclasses import dataclass
from pathlib import Path

from training.chain.inputs import GivenCells, GivenFile
from training.patients.classifier import SvmOptions
from training.reference.adding import TrainingCohort, add_references, sentence_from_made
from training.talk import Talk
from vexas_edge.bundle.archive import open_bundle
from vexas_edge.smear.options import ReadOptions

REFERENCED = "referenced.vxb"


@dataclass(frozen=True, kw_only=True)
class ReferenceInputs:
    """The bundle and its training patients.

    cells: of all models, of patients with labels.
    split: what these patients are called.
    measuring: the hash of the code that measures cells.
    """

    bundle: GivenFile
    cells: GivenCells
    split: str
    svm: dict[str, SvmOptions]
    measuring: str


def make_reference(to: Path, given: ReferenceInputs, talk: Talk) -> None:
    """Write `referenced.vxb`.

    Measurements are kept beside the stage's folder, by their own inputs and by the code that made
    them, so that they serve again when labels or other models change.
    """
    training = TrainingCohort(
        rows=given.cells.rows,
        split=given.split,
        reading=ReadOptions(),
        svm=given.svm,
        work=to.parent / "measured" / given.measuring,
    )
    bundle = open_bundle(given.bundle.path)
    for made in add_references(bundle, training, to / REFERENCED, talk):
        talk.say(sentence_from_made(made))
