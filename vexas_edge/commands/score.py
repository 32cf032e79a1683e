"""One run of `vexas-edge score`: finding the cases, scoring each, printing and writing results."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click
from msgspec import UNSET

from vexas_edge.bundle.archive import Bundle, open_bundle
from vexas_edge.choices import Precision
from vexas_edge.commands.console import echo_json, say, status_of_batch
from vexas_edge.commands.progress import ProgressLine
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import InputError
from vexas_edge.host.process import default_threads, lower_priority
from vexas_edge.results.folder import ResultFolder, json_from_score
from vexas_edge.results.names import check_distinct, file_stem_for_case
from vexas_edge.results.values import Asked, CaseScore, EndedCase, RunRecord
from vexas_edge.results.words import line_from_score, remarks_from_score
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.score import bundle_id, failed_case, score_case
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.finding import wanted_cases
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import read_case
from vexas_edge.text import one_line, unicode_text
from vexas_edge.version import __version__

ABSTAINED = 3
NO_MEMORY = (
    "this PC's memory ran out; the case is not scored on the rest: close other programs, and score "
    "it again"
)


@dataclass(frozen=True, kw_only=True)
class ScoringRun:
    """What was asked for: the arguments and options of `vexas-edge score`."""

    cases: tuple[Path, ...]
    bundle: Path
    out: Path | None = None
    recursive: bool = False
    reading: ReadOptions = field(default_factory=ReadOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    precision: Literal["auto"] | Precision = "auto"
    polite: bool = False
    as_json: bool = False


def run_scoring(asked: ScoringRun) -> int:
    """Score every case; returns the exit status.

    A case that cannot be read is reported, and the others are still scored. An engine or a bundle
    that cannot be trusted ends the run; the results of the cases before that stay.
    """
    bundle = open_bundle(asked.bundle)
    wanted = wanted_cases(asked.cases, asked.reading, recursive=asked.recursive, say=say)
    check_distinct(case.name for case in wanted)
    engine = replace(asked.engine, threads=_threads(asked))
    if asked.polite:
        lower_priority()
    done = _Done(asked=asked, bundle=bundle)
    with ExitStack() as stack:
        folder = stack.enter_context(ResultFolder(asked.out, done.record)) if asked.out else None
        sessions = stack.enter_context(Sessions(bundle, engine, asked.precision))
        if sessions.graph.stale:
            stale = f"note: `vexas-edge prepare` is due again: {sessions.graph.stale}"
            click.echo(one_line(stale), err=True)
        try:
            for case in wanted:
                result = _score_one(case, asked.reading, sessions)
                if folder:
                    folder.add(result)
                done.add(result)
                _show(result, as_json=asked.as_json)
        except BaseException as error:
            done.ended_by = one_line(str(error)) or type(error).__name__
            raise
    if asked.out and not asked.as_json:
        click.echo(one_line(f"results: {asked.out.resolve()}"), err=True)
    return done.exit_status()


def _threads(asked: ScoringRun) -> int | None:
    if asked.polite and asked.engine.threads is None:
        return max(1, default_threads() - 1)
    return asked.engine.threads


@dataclass(kw_only=True)
class _Done:
    """What the run has done so far."""

    asked: ScoringRun
    bundle: Bundle
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    cases: list[EndedCase] = field(default_factory=list)
    ended_by: str | None = None

    def add(self, score: CaseScore) -> None:
        file = f"{file_stem_for_case(score.case)}.json"
        self.cases.append(EndedCase(case=score.case, status=score.status, file=file))

    def exit_status(self) -> int:
        statuses = [case.status for case in self.cases]
        failed = status_of_batch(len(statuses), statuses.count("failed"))
        return failed or (ABSTAINED if "abstained" in statuses else 0)

    def record(self) -> RunRecord:
        """The content of run.json."""
        return RunRecord(
            vexas_edge=__version__,
            asked=_asked_from_run(self.asked),
            bundle=bundle_id(self.bundle),
            started=self.started.isoformat(timespec="seconds"),
            seconds=round((datetime.now(UTC) - self.started).total_seconds(), 3),
            ended_by=self.ended_by,
            cases=tuple(self.cases),
        )


def _asked_from_run(run: ScoringRun) -> Asked:
    reading, engine = run.reading, run.engine
    return Asked(
        cases=tuple(_text(path) for path in run.cases),
        bundle=_text(run.bundle),
        out=_text(run.out) if run.out else "",
        recursive=run.recursive,
        layout=reading.layout,
        class_from=reading.class_from,
        cell_type=reading.cell_type or UNSET,
        class_map=reading.class_map or UNSET,
        engine=engine.engine,
        device=engine.device,
        precision=run.precision,
        threads=engine.threads or UNSET,
        polite=run.polite,
        as_json=run.as_json,
    )


def _text(path: Path) -> str:
    return unicode_text(str(path))


def _score_one(wanted: FoundCase, options: ReadOptions, sessions: Sessions) -> CaseScore:
    progress = ProgressLine(wanted.name)
    try:
        with read_case(wanted, options) as case:
            return score_case(case, sessions.bundle, sessions, progress=progress)
    except InputError as error:
        return failed_case(wanted.name, str(error), sessions.bundle)
    except MemoryError:
        return failed_case(wanted.name, NO_MEMORY, sessions.bundle)
    finally:
        progress.clear()


def _show(result: CaseScore, *, as_json: bool) -> None:
    """Print the result on stdout, and on stderr what a person must know beside it."""
    if as_json:
        echo_json(json_from_score(result))
    elif result.error is None:
        click.echo(one_line(line_from_score(result)))
    for line in remarks_from_score(result):
        click.echo(one_line(line), err=True)
