"""One smear after another, each scored once: what is known already is not scored again."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from vexas_edge.bundle.archive import Bundle
from vexas_edge.commands.smears.batch import Outcome
from vexas_edge.errors import CellError, InputError
from vexas_edge.ledger.lines import CaseLine, marks_from_identities
from vexas_edge.ledger.remarks import held_back, remarks_from_line
from vexas_edge.ledger.sameness import Placing, Smear, content_of, key_of, series_of
from vexas_edge.ledger.writing import Ledger
from vexas_edge.naming.case_ids import Naming
from vexas_edge.results.values import CaseScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.reading import ReadSmear, read_smear
from vexas_edge.scoring.score import failed_case, score_as_known, score_case, score_smear
from vexas_edge.smear.case import Case, FoundCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import read_case
from vexas_edge.smear.stamp import stamp_of
from vexas_edge.talk import Progress
from vexas_edge.text import unicode_text
from vexas_edge.version import __version__

NO_MEMORY = (
    "this PC's memory ran out; the case is not scored on the rest: close other programs, and score "
    "it again"
)


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Scores smears with one bundle.

    ledger: where results are kept, on which a run was started; None keeps none.
    again: whether a smear that has its result is scored once more.
    brief: whether results that are known already are left unopened.
    """

    sessions: Sessions
    reading: ReadOptions
    naming: Naming
    ledger: Ledger | None = None
    again: bool = False
    brief: bool = False

    def score(self, found: FoundCase, progress: Progress) -> Outcome:
        """The result of one smear; a smear that cannot be read has one, too, and it says why.

        Raises:
            HostError: the engine or the results folder cannot be used.
            BundleError: a file of the bundle does not match its hash.
        """
        try:
            return self.attempt(found, progress)
        except InputError as error:
            return self.fail(found, str(error))
        except MemoryError:
            return self.fail(found, NO_MEMORY)

    def attempt(self, found: FoundCase, progress: Progress) -> Outcome:
        """The result of one smear that can be read.

        Raises:
            InputError, MemoryError: it cannot, and no result was made.
            HostError, BundleError: as `score`.
        """
        if self.ledger:
            return self._kept(found, self.ledger, progress)
        with read_case(self.naming.named(found), self.reading) as case:
            score = score_case(case, self._bundle, self.sessions, progress=progress)
        return self._unkept(score, found)

    @property
    def _bundle(self) -> Bundle:
        return self.sessions.bundle

    @property
    def _series(self) -> str:
        return series_of(self._bundle.sha256, __version__)

    def _kept(self, found: FoundCase, ledger: Ledger, progress: Progress) -> Outcome:
        """The smear's result in the ledger, after the least work that it takes to know it."""
        named = self.naming.named(found)
        known, stamp = ledger.known, stamp_of(named, self.reading)
        if not self.again and (line := known.untouched(named.name, self._series, stamp)):
            return self._known(line, ledger, found)
        hiding = self.naming.hiding(found)
        with read_case(named, self.reading) as case:
            if not self.again and known.has_name(named.name, self._series):
                content = content_of(self._files(case, hiding))
                if line := known.same_files(named.name, self._series, content):
                    return self._known(line, ledger, found)
            read = read_smear(case, self._bundle, progress, threads=self.sessions.threads)
            smear = _smear_from_read(read, self._series, stamp, hiding)
            place = known.place(smear, again=self.again)
            if place.known:
                return self._known(place.known, ledger, found)
            if place.same_key:
                score = score_as_known(read, ledger.result(place.same_key), self._bundle)
            else:
                score = score_smear(read, self.sessions, progress=progress)
        line = ledger.add(self.naming.result(score, found), smear, place)
        return self._known(line, ledger, found, made=True)

    def _files(self, case: Case, hiding: Callable[[str], str]) -> Iterator[tuple[str, str, str]]:
        """Path as shown, class and hash of the files of all cells that a model looks at."""
        classes = {c for model in self._bundle.manifest.models.values() for c in model.cells}
        for cell in case.cells_of(classes):
            sha256 = ""
            with suppress(CellError):  # what cannot be read has no hash in its result either
                sha256 = hashlib.sha256(case.source.read(cell.path)).hexdigest()
            yield hiding(cell.path), cell.cell_class, sha256

    def fail(self, found: FoundCase, error: str) -> Outcome:
        """The result of a smear that cannot be read. Raises HostError, as `score`."""
        named = self.naming.named(found)
        score = failed_case(named.name, self.naming.hiding(found)(error), self._bundle)
        if self.ledger is None:
            return self._unkept(score, found)
        stamp = stamp_of(named, self.reading)
        known, series = self.ledger.known, self._series
        if line := known.failed_alike(named.name, series, stamp, score.error or ""):
            return self._known(line, self.ledger, found)
        smear = Smear(given=named.name, series=series, stamp=stamp)
        line = self.ledger.add(score, smear, Placing(case=named.name))
        return self._known(line, self.ledger, found, made=True)

    def _unkept(self, score: CaseScore, found: FoundCase) -> Outcome:
        score, remarks = self.naming.result(score, found), self.naming.remarks(found)
        return Outcome(status=score.status, score=score, remarks=remarks)

    def _known(
        self, line: CaseLine, ledger: Ledger, found: FoundCase, *, made: bool = False
    ) -> Outcome:
        """What comes of a smear that has its result in the ledger."""
        if self.brief and not made:
            return Outcome(status=line.status, made=False)
        score, known = ledger.result(line), ledger.known
        if known.state(line) == "held":
            others = list(map(known.case_of, line.entry.shares_cells_with))
            score = held_back(score, others, unicode_text(str(ledger.folder)))
        remarks = (*self.naming.remarks(found), *remarks_from_line(line, known))
        return Outcome(status=score.status, score=score, made=made, remarks=remarks)


def _smear_from_read(
    read: ReadSmear, series: str, stamp: str, hiding: Callable[[str], str]
) -> Smear:
    records = list(read.records)
    return Smear(
        given=read.case.name,
        series=series,
        stamp=stamp,
        content=content_of((hiding(r.path), r.cell_class, r.sha256) for r in records),
        key=key_of(series, records),
        marks=marks_from_identities(record.identity for record in records),
    )
