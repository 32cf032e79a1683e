"""One run of `vexas-edge score`: finding the cases, scoring each, printing and writing results."""

import time
from contextlib import ExitStack, closing
from dataclasses import replace

from vexas_edge.bundle.site_file import site_of
from vexas_edge.commands.console import ProgressLine, say
from vexas_edge.commands.smears.asked import ScoringRun, given_for_run, opened_bundles
from vexas_edge.commands.smears.batch import Batch, show
from vexas_edge.commands.smears.cut_off import begin_run, break_off
from vexas_edge.commands.smears.scorer import Scorer
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.host.process import lower_priority, polite_threads
from vexas_edge.host.stopping import undisturbed
from vexas_edge.ledger.reading import INDEX
from vexas_edge.ledger.writing import Ledger
from vexas_edge.naming.case_ids import Naming
from vexas_edge.scoring.cases import cases_for
from vexas_edge.smear.case import FoundCase


def run_scoring(asked: ScoringRun) -> int:
    """Score every case; returns the exit status.

    A case that cannot be read is reported, and the others are still scored. An engine or a bundle
    that cannot be trusted ends the run; the results of the cases before that stay.
    """
    opened, naming = opened_bundles(asked), Naming(asked.naming)
    given, site = given_for_run(asked, opened.bundle), site_of(opened.bundle, say)
    wanted = cases_for(
        opened.bundle.manifest, asked.cases, opened.reading, recursive=asked.recursive, say=say
    )
    given.check_cases([naming.id_of(f) if naming.is_named(f) else f.name for f in wanted])
    engine = _polite(asked.engine) if asked.polite else asked.engine
    batch = Batch(n_cases=len(wanted))
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(asked.out, say=say)) if asked.out else None
        sessions = stack.enter_context(opened.sessions(engine, asked.precision, site))
        if ledger:
            begin_run(ledger, asked, naming, sessions)
        if sessions.graph.stale:
            say(f"note: `vexas-edge prepare` is due again: {sessions.graph.stale}")
        scorer = Scorer(
            sessions=sessions,
            reading=opened.reading,
            naming=naming,
            given=given,
            ledger=ledger,
            retype=asked.retype,
            pages=asked.pages,
            again=asked.again,
        )
        try:
            _score_all(wanted, scorer, batch, as_json=asked.as_json)
        except BaseException as error:
            with undisturbed():
                break_off(ledger, batch, error)
            raise
        if ledger:
            ledger.end(None, batch.n_known)
    _say_the_end(asked, batch)
    return batch.exit_status


def _polite(engine: EngineOptions) -> EngineOptions:
    """Let other programs of this PC go first."""
    lower_priority()
    return replace(engine, threads=engine.threads or polite_threads())


def _say_the_end(asked: ScoringRun, batch: Batch) -> None:
    """Say on stderr what was done, and where it is."""
    if batch.n_done > 1 and not asked.as_json:
        say(batch.summary())
    if batch.n_known:
        say(f"note: known results are shown again ({batch.n_known}); --again scores once more")
    if asked.out and not asked.as_json:
        say(f"results: {asked.out.resolve()}")
        say(f"to read them, open {asked.out.resolve() / INDEX}")


def _score_all(
    wanted: tuple[FoundCase, ...], scorer: Scorer, batch: Batch, *, as_json: bool
) -> None:
    progress = ProgressLine("")

    def begin(found: FoundCase) -> ProgressLine:
        place = batch.place()
        return progress.of(f"{found.name} ({place})" if place else found.name)

    began = time.monotonic()
    with closing(scorer.look_at_all(wanted, begin)) as all_looked, ExitStack() as stack:
        stack.callback(progress.clear)
        for looked in all_looked:
            with looked:
                answered = scorer.answer(looked, begin(looked.found))
            progress.clear()
            with undisturbed():
                outcome = scorer.keep(answered)
                batch.add(outcome, time.monotonic() - began)
                show(outcome, as_json=as_json, is_kept=scorer.ledger is not None)
            began = time.monotonic()
