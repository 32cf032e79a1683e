"""Measures the training cases of a model, and keeps each in a folder, so that work can go on."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from training.measured.case import MeasuredCase, read_measured, write_measured
from training.measured.measuring import NamedChange, measure_case
from training.talk import Talk
from vexas_edge import read_case
from vexas_edge.bundle.graphs import FUSED, ISOLATE
from vexas_edge.bundle.models import Model
from vexas_edge.cells.images import decoder
from vexas_edge.errors import CellError, HostError
from vexas_edge.quality.statistics import CASE_STATISTICS
from vexas_edge.runtime.session import Sessions
from vexas_edge.smear.case import Case
from vexas_edge.smear.cohort import CohortCase, read_row
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import time_left

# To be raised when measurements change for the same cells, graphs, changes and statistics.
_SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """What is measured of a cohort's cases, and where it is kept.

    changes: of the images.
    work: the folder; it is made where there is none.
    reading: how a case's names are understood.
    """

    rows: Sequence[CohortCase]
    changes: Sequence[NamedChange]
    work: Path
    reading: ReadOptions

    def of_model(self, name: str, sessions: Sessions, talk: Talk) -> list[MeasuredCase]:
        """The cases as one model sees them; those that the folder has are not measured again."""
        _make_folder(self.work)
        paths = [self._path(row, name, sessions) for row in self.rows]
        missing = [place for place, path in enumerate(paths) if not path.exists()]
        if len(missing) < len(paths):
            talk.say(f"{name}: {len(paths) - len(missing)} of {len(paths)} cases were measured")
        began = time.monotonic()
        for done, place in enumerate(missing, start=1):
            with read_case(self.rows[place].path, self.reading) as case:
                found = measure_case(case, name, sessions, self.changes, talk.progress)
            write_measured(found, paths[place])
            seconds_per_case = (time.monotonic() - began) / done
            left = time_left(seconds_per_case * (len(missing) - done))
            n_done = len(paths) - len(missing) + done
            talk.say(f"{name}: {n_done} of {len(paths)} cases, {left}")
        return [read_measured(path) for path in paths]

    def _path(self, row: CohortCase, name: str, sessions: Sessions) -> Path:
        """Where one case's measurements are kept, by all that they depend on."""
        model = sessions.bundle.manifest.models[name]
        with read_row(row, self.reading) as case:
            files = files_digest(case, model)
        facts = [files, _facts(model), [change.name for change in self.changes]]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return self.work / f"{digest}.npz"


def files_digest(case: Case, model: Model) -> str:
    """The hash of the files of a model's cells; neither their names nor their order change it."""
    digests = []
    for cell in case.cells_of(model.cells):
        try:
            digests.append(hashlib.sha256(case.source.read(cell.path)).digest())
        except CellError:
            continue  # it is no usable cell either
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def _facts(model: Model) -> list[Any]:
    """What measurements depend on besides cells and changes."""
    graphs = [model.files[file].sha256 for file in (FUSED, ISOLATE) if file in model.files]
    shown = msgspec.to_builtins(model.instances)
    return [_SCHEMA, graphs, shown, decoder(), CASE_STATISTICS]


def _make_folder(work: Path) -> None:
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"folder {work} cannot be created: {error.strerror}") from error
