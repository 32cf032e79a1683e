"""What all stages of one chain share: its spec, its folders and where progress is reported."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from export.inputs import sha256_of_file
from training.chain.cell_hashes import CellHashes
from training.chain.chain_spec import ChainSpec
from training.chain.inputs import GivenFile, facts_of
from training.chain.source import Source, source_now
from training.chain.stages import Stage, run_stage
from training.talk import Talk
from vexas_edge.errors import InputError
from vexas_edge.smear.cohort import CohortCase, read_cohort

_Given = TypeVar("_Given")


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A chain that is being run.

    folder: where the spec's paths start.
    out: where the stages' folders are.
    rows: of the original cohort, before isolation.
    source: our own code as it was when the run began.
    """

    spec: ChainSpec
    folder: Path
    out: Path
    rows: tuple[CohortCase, ...]
    source: Source
    talk: Talk
    cells: CellHashes = field(default_factory=CellHashes)

    def stage(
        self,
        where: str,
        make: Callable[[Path, _Given, Talk], None],
        given: _Given,
        *,
        resumes: bool = False,
    ) -> Stage:
        """The stage in the folder `where`, made unless it is there already.

        Args:
            make: a function of a module in `training.chain.tasks`. What it depends on is all in its
                key: what it is given, and the code that its module uses.
        """
        self.talk.say(f"{where} ...")
        inputs = {"code": self.source.digest(make.__module__), "given": facts_of(given)}
        done = run_stage(
            self.out / where, inputs, lambda to: make(to, given, self.talk), resumes=resumes
        )
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
    return Chain(spec=spec, folder=folder, out=out, rows=rows, source=source_now(), talk=talk)


def given_file(path: Path) -> GivenFile:
    """A file of the user, for a stage.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return GivenFile(path=path, sha256=sha256_of_file(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
