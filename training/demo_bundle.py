"""The demonstration that ships inside the wheel: a bundle and a smear, both from drawn cells.

The bundle is what the whole chain makes of a drawn cohort by `examples/vexas/spec.toml`.
"""

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch

from training.chain.chain import Talk
from training.chain.run import run_chain
from training.chain.spec import chain_from_file
from training.synth import synthesize_smear, write_smear
from training.synthetic_cohort import CELLS, SyntheticCohort, write_cohort
from vexas_edge import open_bundle, read_case, score_case

SPEC = Path(__file__).parents[1] / "examples" / "vexas" / "spec.toml"
COHORT = SyntheticCohort(patients=60, strength=1.0, crops=True)
SHOWN_PATIENT = 1002  # the seed of one whom nothing was learnt from or judged on
THREADS = 2  # the sums of another number round otherwise, and training carries that far


def build_demo(to: Path, work: Path, talk: Talk) -> None:
    """Write `demo.vxb` and `smear.zip` into the folder `to`.

    Args:
        work: where cohort and stages lie; a stage that is done there already is not done again.
    """
    torch.set_num_threads(THREADS)
    to.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "cohort", ignore_errors=True)
    for n, _ in enumerate(write_cohort(COHORT, work / "cohort"), start=1):
        talk.progress("smears drawn", n, COHORT.patients)
    shutil.copyfile(SPEC, work / SPEC.name)
    bundle = run_chain(chain_from_file(work / SPEC.name), work, work / "stages", talk)
    shutil.copyfile(bundle, to / "demo.vxb")
    write_shown_smear(to / "smear.zip", work / "smear")


def write_shown_smear(to: Path, work: Path) -> None:
    """The smear that is shown, as a zip; its files go by way of the folder `work`."""
    smear = synthesize_smear(SHOWN_PATIENT, "vexas", COHORT.strength, CELLS, crops=True)
    shutil.rmtree(work, ignore_errors=True)
    _zip(write_smear(work, smear), work, to)


def demo_scores(folder: Path) -> dict[str, float]:
    """What the demonstration in a folder scores its smear with, by model; nothing without one."""
    if not (folder / "demo.vxb").exists():
        return {}
    result = score_case(read_case(folder / "smear.zip"), open_bundle(folder / "demo.vxb"))
    return {model.model: model.score for model in result.models if model.score is not None}


def _zip(files: Sequence[Path], root: Path, to: Path) -> None:
    """The files as one zip that is the same at every build; the images are stored as they are."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(files):
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, file.read_bytes())
