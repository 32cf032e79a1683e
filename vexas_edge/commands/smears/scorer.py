"""One smear after another, each scored once: what is known already is not scored again.

A smear is looked at, answered by the engine, and its result kept. Looking needs no engine, so that
the next smear may be looked at meanwhile.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from vexas_edge.ahead import run_ahead
from vexas_edge.bundle.archive import Bundle
from vexas_edge.choices import PageKind
from vexas_edge.commands.smears.batch import Outcome
from vexas_edge.commands.smears.identity import files_of, smear_of
from vexas_edge.commands.smears.net import caught
from vexas_edge.commands.smears.pages import pictures_again, pictures_from_read
from vexas_edge.commands.smears.steps import Answered, Looked
from vexas_edge.covariates.given import NOTHING_KNOWN, GivenCovariates
from vexas_edge.covariates.taken import values_from_models
from vexas_edge.errors import InputError
from vexas_edge.ledger.lines import CaseLine
from vexas_edge.ledger.remarks import remarks_from_line, shown_result
from vexas_edge.ledger.smears import (
    Placing,
    Smear,
    content_of,
    covariate_facts,
    key_of,
    series_of,
)
from vexas_edge.ledger.writing import Ledger
from vexas_edge.naming.case_ids import Naming
from vexas_edge.report.pictures import Pictures
from vexas_edge.results.values import CaseScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.cases import open_case
from vexas_edge.scoring.score import read_for, retyped_smear, score_as_known, score_smear
from vexas_edge.scoring.smears import ReadCase
from vexas_edge.scoring.whole import failed_case, types_id
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.stamp import stamp_of
from vexas_edge.talk import Progress, silent
from vexas_edge.text import without_folders
from vexas_edge.version import __version__

_NOT_RETYPED = "it was scored without --retype; `vexas-edge score --again` makes up for it"


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Scores smears with one bundle.

    given: what is known of the patients.
    ledger: where results are kept, on which a run was started; None keeps none.
    pages: what pages results get there.
    retype: whether models that name cells are asked of those that have a name, too.
    again: whether a smear that has its result is scored once more.
    brief: whether results that are known already are left unopened.
    """

    sessions: Sessions
    reading: ReadOptions
    naming: Naming
    given: GivenCovariates = NOTHING_KNOWN
    ledger: Ledger | None = None
    pages: PageKind = "with pictures"
    retype: bool = False
    again: bool = False
    brief: bool = False

    def look_at_all(
        self, wanted: Iterable[FoundCase], begin: Callable[[FoundCase], Progress]
    ) -> Generator[Looked]:
        """Look at each smear; where a GPU does the rest, at the next ones meanwhile.

        Args:
            begin: is told of a smear before it is looked at, where none is looked at ahead.
        """
        if not self.sessions.on_gpu:
            yield from (self.look(found, begin(found)) for found in wanted)
            return
        ahead = run_ahead(lambda found: self.look(found, silent), wanted, threads=1)
        with closing(ahead) as all_looked:
            yield from all_looked

    def look(self, found: FoundCase, progress: Progress) -> Looked:
        """Look at one smear: whether it has a result, and if not, read its cells.

        What goes wrong is its `error`.
        """
        looked = Looked(
            found=found, named=self.naming.named(found), covariates=self.covariates_of(found)
        )

        def look() -> Looked:
            nonlocal looked
            if self.ledger:
                looked = replace(looked, stamp=self._stamp(looked))
            return self._untouched(looked) or self._read(looked, progress)

        return caught(look, lambda error, is_bug: replace(looked, error=error, is_bug=is_bug))

    def covariates_of(self, found: FoundCase) -> Mapping[str, str]:
        """What is known of the patient of a smear; nothing where nobody knows whose it is."""
        try:
            return self.given.of(self.naming.id_of(found))
        except InputError:
            return {}

    def _stamp(self, looked: Looked) -> str:
        more = covariate_facts(looked.covariates)
        return self.naming.shown_stamp(stamp_of(looked.named, self.reading.facts, *more))

    def _untouched(self, looked: Looked) -> Looked | None:
        if self.ledger is None or self.again:
            return None
        known = self.ledger.known.untouched(looked.named.name, self._series, looked.stamp)
        return replace(looked, known=known) if known else None

    def _read(self, looked: Looked, progress: Progress) -> Looked:
        """The smear with its cells, unless its files are those of its result."""
        case = open_case(looked.named, self._bundle.manifest, self.reading)
        name = looked.named.name
        try:
            if self.ledger and not self.again and self.ledger.known.has_name(name, self._series):
                files = files_of(case, self._bundle.manifest, self.naming, whole=self._reads_all)
                content = content_of(files, looked.covariates)
                if known := self.ledger.known.same_files(name, self._series, content):
                    case.close()
                    return replace(looked, known=known)
            read = read_for(case, self.sessions, progress)
        except BaseException:
            case.close()
            raise
        return replace(looked, read=read)

    def answer(self, looked: Looked, progress: Progress) -> Answered:
        """What comes of a smear, after the least work that it takes to know it.

        Raises:
            HostError: the engine or the results folder cannot be used.
            BundleError: a file of the bundle does not match its hash.
        """
        read = looked.read
        if read is None:
            return Answered(
                looked=looked, known=looked.known, error=looked.error, is_bug=looked.is_bug
            )
        return caught(
            lambda: self._scored(looked, read, progress),
            lambda error, is_bug: Answered(looked=looked, error=error, is_bug=is_bug),
        )

    def _scored(self, looked: Looked, read: ReadCase, progress: Progress) -> Answered:
        if self.ledger is None:
            return Answered(looked=looked, score=self._new_score(looked, read, progress))
        smear = smear_of(looked, read, self._series, self.naming)
        place = self.ledger.known.place(smear, again=self.again)
        if place.known:
            return Answered(looked=looked, known=place.known)
        if kept := self._that_knew_more(looked, read, place, self.ledger):
            return kept
        if place.same_key:
            score = score_as_known(read, self.ledger.result(place.same_key), self._bundle)
        else:
            score = self._new_score(looked, read, progress)
        pictures = pictures_from_read(self.pages, score, read)
        return Answered(looked=looked, score=score, smear=smear, place=place, pictures=pictures)

    def _that_knew_more(
        self, looked: Looked, read: ReadCase, place: Placing, ledger: Ledger
    ) -> Answered | None:
        """The standing answer for the same cells, if it was given a value that is now missing.

        A row that is gone from a table does not take back what is known of a patient.
        """
        line = ledger.known.line(place.revises) if place.revises and not self.again else None
        if line is None:
            return None
        result = ledger.result(line)
        values = values_from_models(result.models)
        gone = [name for name in values if name not in looked.covariates]
        same_cells = key_of(self._series, read.records, values) == line.entry.key
        if not gone or not same_cells or result.status != "scored":
            return None
        remark = (
            f"warning: {line.case}: nobody says its {', '.join(gone)} any more; the answer that "
            "knew it stays (--again scores without it)"
        )
        return Answered(looked=looked, known=line, remarks=(remark,))

    def _new_score(self, looked: Looked, read: ReadCase, progress: Progress) -> CaseScore:
        if self.retype:
            read = retyped_smear(read, self.sessions, progress)
        return score_smear(read, self.sessions, covariates=looked.covariates, progress=progress)

    def keep(self, answered: Answered) -> Outcome:
        """The result of a smear, which is in the ledger from now on; a failure has one, too.

        Raises:
            HostError: the results folder cannot be written.
        """
        if answered.known and self.ledger:
            self.ledger.mend_failures(answered.known, answered.looked.stamp)
            found, known = answered.looked.found, answered.known
            no_page = self._write_missing_page(known, found, self.ledger)
            remarks = (*self._remarks(found), *answered.remarks, *no_page)
            return self._outcome(known, self.ledger, remarks, made=False)
        if answered.score is None:
            failed = self._failed(answered.looked, answered.error)
            return replace(failed, is_bug=answered.is_bug)
        found, score = answered.looked.found, self.naming.result(answered.score)
        if self.ledger and answered.smear and answered.place:
            line = self.ledger.add(score, answered.smear, answered.place)
            self._write_page(line, answered.pictures, self.ledger)
            return self._outcome(line, self.ledger, self._remarks(found), made=True)
        return _outcome(score, self._remarks(found))

    def _failed(self, looked: Looked, error: str) -> Outcome:
        """The failure of a smear; of one that nothing names there is no result in the ledger."""
        name, found, ledger = looked.named.name, looked.found, self.ledger
        why = without_folders(error, found.path)
        score = self.naming.result(failed_case(name, why, self.sessions))
        remarks, told = self._remarks(found, error), "" if self.naming.mark else error
        if ledger is None or not self.naming.is_named(found):
            return replace(_outcome(score, remarks), error=told)
        if line := ledger.known.failed_alike(name, self._series, looked.stamp, score.error or ""):
            return replace(self._outcome(line, ledger, remarks, made=False), error=told)
        smear = Smear(given=name, series=self._series, stamp=looked.stamp)
        line = ledger.add(score, smear, Placing(case=name))
        self._write_page(line, None, ledger)
        return replace(self._outcome(line, ledger, remarks, made=True), error=told)

    def _remarks(self, found: FoundCase, error: str = "") -> tuple[str, ...]:
        """What the result does not tell the person at this PC."""
        remarks = self.naming.remarks(found, error)
        if self.naming.is_named(found) and self.given.lacks(case := self.naming.id_of(found)):
            return (*remarks, f"note: {case}: not in the table of covariates")
        return remarks

    def _write_page(self, line: CaseLine, pictures: Pictures | None, ledger: Ledger) -> None:
        if self.pages != "none":
            ledger.add_page(line, pictures)

    def _write_missing_page(self, line: CaseLine, found: FoundCase, ledger: Ledger) -> list[str]:
        """Write the page of a known result if it has none; says why it still has none."""
        if self.pages == "none" or ledger.pages.path_of(line):
            return []
        try:
            pictures = pictures_again(self.pages, ledger.result(line), found.path)
        except InputError as error:
            return [f"warning: {line.case}: its page could not be made: {error}"]
        ledger.add_page(line, pictures)
        return []

    def _outcome(
        self, line: CaseLine, ledger: Ledger, remarks: tuple[str, ...], *, made: bool
    ) -> Outcome:
        """What comes of a smear that has its result in the ledger."""
        known = ledger.known
        if self.brief and not made:
            is_held = known.state(line) == "held"
            status = "abstained" if is_held else line.status
            reasons = frozenset(["held"] if is_held else ())
            told = tuple(remark for remark in remarks if remark.startswith("warning:"))
            return Outcome(status=status, reasons=reasons, made=False, remarks=told)
        result = ledger.result(line)
        score = shown_result(result, line, known, ledger.folder)
        if self.retype and result.retyping is None and result.error is None:
            remarks += (f"note: {line.case}: {_NOT_RETYPED}",)
        held = ledger.pages.others.of(line).held
        remarks = (*remarks, *remarks_from_line(line, known, held))
        return _outcome(score, remarks, made=made)

    @property
    def _bundle(self) -> Bundle:
        return self.sessions.bundle

    @property
    def _reads_all(self) -> bool:
        """Whether all cells of a smear are read, and not those of the models' classes alone."""
        return self.sessions.typers is not None

    @property
    def _series(self) -> str:
        sessions = self.sessions
        return series_of(self._bundle.sha256, __version__, sessions.site_id, types_id(sessions))


def _outcome(score: CaseScore, remarks: tuple[str, ...], *, made: bool = True) -> Outcome:
    reasons = frozenset(reason for model in score.models for reason in model.reasons)
    return Outcome(status=score.status, score=score, reasons=reasons, made=made, remarks=remarks)
