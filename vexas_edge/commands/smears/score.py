"""One run of `vexas-edge score`: finding the cases, scoring each, printing and writing results."""

import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from vexas_edge.bundle.archive import open_bundle
from vexas_edge.commands.console import ProgressLine, say, status_of_batch
from vexas_edge.commands.smears.asked import ScoringRun, asked_from_run
from vexas_edge.commands.smears.batch import Batch, break_off, say_what_was_cut_off, show
from vexas_edge.commands.smears.scorer import Scorer
from vexas_edge.host.process import lower_priority, polite_threads
from vexas_edge.ledger.writing import Ledger
from vexas_edge.naming.case_ids import Naming
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.score import bundle_id
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.finding import wanted_cases

ABSTAINED = 3


def run_scoring(asked: ScoringRun) -> int:
    """Score every case; returns the exit status.

    A case that cannot be read is reported, and the others are still scored. An engine or a bundle
    that cannot be trusted ends the run; the results of the cases before that stay.
    """
    bundle, naming = open_bundle(asked.bundle), Naming(asked.naming)
    wanted = wanted_cases(asked.cases, asked.reading, recursive=asked.recursive, say=say)
    threads = asked.engine.threads or (polite_threads() if asked.polite else None)
    engine = replace(asked.engine, threads=threads)
    if asked.polite:
        lower_priority()
    batch = Batch(n_cases=len(wanted))
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(asked.out, say=say)) if asked.out else None
        sessions = stack.enter_context(Sessions(bundle, engine, asked.precision))
        if ledger:
            ledger.start(asked_from_run(asked, naming), bundle_id(bundle), datetime.now(UTC))
            say_what_was_cut_off(ledger)
        if sessions.graph.stale:
            say(f"note: `vexas-edge prepare` is due again: {sessions.graph.stale}")
        scorer = Scorer(
            sessions=sessions,
            reading=asked.reading,
            naming=naming,
            ledger=ledger,
            again=asked.again,
        )
        try:
            for case in wanted:
                _score_one(case, scorer, batch, as_json=asked.as_json)
        except BaseException as error:
            break_off(ledger, batch, error)
            raise
        if ledger:
            ledger.end(None, batch.n_known)
    if len(wanted) > 1 and not asked.as_json:
        say(batch.summary())
    if batch.n_known:
        say(f"note: {batch.n_known} had their result already; --again scores them once more")
    if asked.out and not asked.as_json:
        say(f"results: {asked.out.resolve()}")
    return _exit_status(batch)


def _score_one(case: FoundCase, scorer: Scorer, batch: Batch, *, as_json: bool) -> None:
    place = batch.place()
    progress = ProgressLine(f"{case.name} ({place})" if place else case.name)
    began = time.monotonic()
    try:
        outcome = scorer.score(case, progress)
    finally:
        progress.clear()
    batch.add(outcome, time.monotonic() - began)
    show(outcome, as_json=as_json)


def _exit_status(batch: Batch) -> int:
    failed = status_of_batch(batch.n_done, batch.statuses["failed"])
    return failed or (ABSTAINED if batch.statuses["abstained"] else 0)
