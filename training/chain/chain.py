"""What all stages of one chain share: its spec, its folders and where progress is reported."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.chain.chain_spec import ChainSpec
from training.chain.stages import Stage, code_digest, run_stage
from training.talk import Talk
from vexas_edge.errors import InputError
from vexas_edge.smear.cohort import CohortCase, read_cohort


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A chain that is being run.

    folder: where the spec's paths start.
    out: where the stages' folders are.
    rows: of the original cohort, before isolation.
    """

    spec: ChainSpec
    folder: Path
    out: Path
    rows: tuple[CohortCase, ...]
    talk: Talk

    @property
    def cohort(self) -> Path:
        """The original cohort's file, before isolation."""
        return self.folder / self.spec.cohort

    def stage(
        self,
        where: str,
        inputs: dict[str, Any],
        make: Callable[[Path], None],
        *,
        resumes: bool = False,
    ) -> Stage:
        """The stage in the folder `where`, made unless it is there already.

        A change of our own code also makes it anew.
        """
        self.talk.say(f"{where} ...")
        done = run_stage(self.out / where, {"code": code_digest(), **inputs}, make, resumes=resumes)
        self.talk.say(f"{where}: {'done' if done.anew else 'already done'}")
        return done


def new_chain(spec: ChainSpec, folder: Path, out: Path, talk: Talk) -> Chain:
    """The chain of a spec.

    Raises:
        InputError: the cohort cannot be read, or a split lacks a label or has one too many.
    """
    rows = read_cohort(folder / spec.cohort)
    known = {row.label for row in rows if row.split == spec.fit}
    for split in (spec.fit, spec.judge):
        labels = {row.label for row in rows if row.split == split}
        if labels - known:
            raise InputError(
                f"{folder / spec.cohort}: the split {split!r} has the label "
                f"{min(labels - known)!r}, but {spec.fit!r}, on which the SVM is fitted, has only "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        if spec.positive not in labels or len(labels) < 2:
            raise InputError(
                f"{folder / spec.cohort}: the labels of the split {split!r} are "
                f"{', '.join(sorted(labels)) or 'none'}; it needs {spec.positive!r} and another"
            )
    return Chain(spec=spec, folder=folder, out=out, rows=rows, talk=talk)
