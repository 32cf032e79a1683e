"""What all stages of one chain share: its spec, its folders, who is told what goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.chain.chain_spec import ChainSpec
from training.chain.stages import Stage, code_digest, run_stage
from vexas_edge.errors import InputError
from vexas_edge.smear.cohort import CohortCase, read_cohort


@dataclass(frozen=True, kw_only=True)
class Talk:
    """Where it is said what goes on: `say` takes a line, `progress` what is done, and how far."""

    say: Callable[[str], None]
    progress: Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Chain:
    """spec: and `folder`, from which its paths are resolved. out: where the stages' folders lie.

    rows: of the cohort as it came, before isolation.
    """

    spec: ChainSpec
    folder: Path
    out: Path
    rows: tuple[CohortCase, ...]
    talk: Talk

    @property
    def cohort(self) -> Path:
        """The cohort's file as it came."""
        return self.folder / self.spec.cohort

    def stage(
        self,
        where: str,
        inputs: dict[str, Any],
        make: Callable[[Path], None],
        *,
        resumes: bool = False,
    ) -> Stage:
        """The stage in the folder `where`, made unless it is there; our code is an input too."""
        self.talk.say(f"{where} ...")
        done = run_stage(self.out / where, {"code": code_digest(), **inputs}, make, resumes=resumes)
        self.talk.say(f"{where}: {'done' if done.anew else 'as it was'}")
        return done


def new_chain(spec: ChainSpec, folder: Path, out: Path, talk: Talk) -> Chain:
    """The chain of a spec.

    Raises:
        InputError: the cohort cannot be read, or lacks a label in one of the splits.
    """
    rows = read_cohort(folder / spec.cohort)
    known = {row.label for row in rows if row.split == spec.fit}
    for split in (spec.fit, spec.judge):
        labels = {row.label for row in rows if row.split == split}
        if labels - known:
            raise InputError(
                f"{folder / spec.cohort}: the split {split!r} has the label "
                f"{min(labels - known)!r}, which nothing is fitted on; {spec.fit!r} has "
                f"{', '.join(sorted(known))}"
            )
        if spec.positive not in labels or len(labels) < 2:
            raise InputError(
                f"{folder / spec.cohort}: the labels of the split {split!r} are "
                f"{', '.join(sorted(labels)) or 'none'}; it takes {spec.positive!r} and another"
            )
    return Chain(spec=spec, folder=folder, out=out, rows=rows, talk=talk)
