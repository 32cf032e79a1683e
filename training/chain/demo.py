"""Makes the demonstration that ships inside the wheel: a bundle and a smear, of drawn cells.

The bundle is the result of the whole chain with `examples/vexas/spec.toml` and a drawn cohort.
"""

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch

from training.chain.chain_spec import chain_from_file
from training.chain.run import run_chain
from training.drawn.made_up_cohort import CELLS, SyntheticCohort, write_cohort
from training.drawn.smears import synthesize_smear, write_smear
from training.talk import Talk
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.errors import BundleError, InputError, UsageError
from vexas_edge.files import write_atomically

SPEC = Path(__file__).parents[2] / "examples" / "vexas" / "spec.toml"
DEMO_COHORT = SyntheticCohort(patients=70, strength=1.0, crops=True)
SHOWN_PATIENT = 1002  # the seed of a patient who is not in the cohort
BUNDLE, SMEAR = "demo.vxb", "smear.zip"
# Fixed, since another number of threads rounds sums differently, and training amplifies that. So
# does another kind of CPU.
THREADS = 2
MOST_MOVED = 1e-4  # the largest change of a score by a rebuild

Score = float | None  # None if the model is not in the bundle


def build_demo(work: Path, talk: Talk) -> Path:
    """Make `demo.vxb` and `smear.zip` in a folder below `work`; returns that folder.

    Args:
        work: a folder for this purpose only: the cohort in it is drawn anew, finished stages stay.
    """
    torch.set_num_threads(THREADS)
    built = work / "built"
    built.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "cohort", ignore_errors=True)
    for n, _ in enumerate(write_cohort(DEMO_COHORT, work / "cohort"), start=1):
        talk.progress("smears drawn", n, DEMO_COHORT.patients)
    shutil.copyfile(SPEC, work / SPEC.name)
    bundle = run_chain(chain_from_file(work / SPEC.name), work, work / "stages", talk)
    shutil.copyfile(bundle, built / BUNDLE)
    write_shown_smear(built / SMEAR, work / "smear")
    return built


def install_demo(built: Path, to: Path, *, accept: bool) -> dict[str, tuple[Score, Score]]:
    """Replace the files that ship by those built; returns each model's score, before and now.

    Args:
        accept: whether to do so even if scores change by more than MOST_MOVED, or have no
            counterpart.

    Raises:
        UsageError: they do, and `accept` is false; the files that ship are unchanged.
    """
    now, before = demo_scores(built), _shipped_scores(to)
    scores = {model: (before.get(model), now.get(model)) for model in {**before, **now}}
    moved = [f"{model} {old} to {new}" for model, (old, new) in scores.items() if _moved(old, new)]
    if moved and not accept:
        raise UsageError(
            f"{to} is unchanged, as scores moved by more than {MOST_MOVED}: {'; '.join(moved)}. "
            f"The new files are in {built}; run this with --accept to use them"
        )
    to.mkdir(parents=True, exist_ok=True)
    for name in (BUNDLE, SMEAR):
        write_atomically(to / name, (built / name).read_bytes())
    return scores


def _shipped_scores(folder: Path) -> dict[str, float]:
    """The scores of the demonstration that ships; empty if it is missing or not readable."""
    try:
        return demo_scores(folder)
    except (BundleError, InputError):
        return {}


def _moved(old: Score, new: Score) -> bool:
    return old is None or new is None or abs(new - old) > MOST_MOVED


def write_shown_smear(to: Path, work: Path) -> None:
    """Draw the demonstration's smear and write it as a zip; `work` is a folder for its files."""
    smear = synthesize_smear(SHOWN_PATIENT, "vexas", DEMO_COHORT.strength, CELLS, crops=True)
    shutil.rmtree(work, ignore_errors=True)
    _zip(write_smear(work, smear), work, to)


def demo_scores(folder: Path) -> dict[str, float]:
    """The scores of the demonstration's smear by its bundle, by model."""
    with read_case(folder / SMEAR) as case:
        result = score_case(case, open_bundle(folder / BUNDLE))
    return {model.model: model.score for model in result.models if model.score is not None}


def _zip(files: Sequence[Path], root: Path, to: Path) -> None:
    """Write the files as a zip that is the same at every build, without compressing them."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(files):
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, file.read_bytes())
