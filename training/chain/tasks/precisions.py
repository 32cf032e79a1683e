"""The work of the stage `bundle`: cheaper graphs are made and judged."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from calibration.conversion import Console, Conversion, add_precisions
from calibration.gate.verdict import Verdict
from training.chain.inputs import GivenCells, GivenFile
from training.talk import Talk
from vexas_edge.bundle.archive import open_bundle


@dataclass(frozen=True, kw_only=True)
class PrecisionInputs:
    """The bundle, and the smears for cheaper graphs.

    cells: of all models, of patients with labels and splits. Calibration also opens cells of other
        classes, to refuse smears that are unreadable or in both splits, but makes nothing of them.
    kinds: of graphs.
    calibrate, judge: splits.
    name: of the file to write.
    """

    bundle: GivenFile
    cells: GivenCells
    kinds: tuple[str, ...]
    calibrate: str
    judge: str
    name: str


def make_precisions(to: Path, given: PrecisionInputs, talk: Talk) -> None:
    """Write the bundle with the cheaper graphs.

    Raises:
        BundleError: one is over its budget.
    """
    if not given.kinds:
        shutil.copyfile(given.bundle.path, to / given.name)
        return

    def say(verdict: Verdict) -> None:
        talk.say(f"{verdict.model} {verdict.kind}: {'; '.join(verdict.missed) or 'passed'}")

    asked = Conversion(
        cohort=given.cells.rows,
        kinds=given.kinds,
        calibrate=given.calibrate,
        gate=given.judge,
    )
    console = Console(progress=talk.progress, show=say, warn=talk.say)
    add_precisions(open_bundle(given.bundle.path), asked, to / given.name, console)
