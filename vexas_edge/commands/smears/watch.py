"""One run of `vexas-edge watch`: smears are scored as they arrive, until it is stopped."""

import math
import os
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vexas_edge.bundle.site_file import site_of
from vexas_edge.commands.console import say
from vexas_edge.commands.smears.asked import ScoringRun, given_for_run, opened_bundles
from vexas_edge.commands.smears.batch import Batch, show
from vexas_edge.commands.smears.cut_off import begin_run, break_off
from vexas_edge.commands.smears.scorer import Scorer
from vexas_edge.covariates.given import GivenCovariates
from vexas_edge.errors import HostError, InputError, UsageError
from vexas_edge.host.process import lower_priority, polite_threads
from vexas_edge.host.stopping import Stop, undisturbed
from vexas_edge.ledger.lock import TakenOverError
from vexas_edge.ledger.smears import covariate_facts
from vexas_edge.ledger.writing import Ledger
from vexas_edge.naming.case_ids import Naming
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.walk import is_folder, is_there
from vexas_edge.talk import silent
from vexas_edge.text import hash_of, path_as_given, unicode_text, without_folders
from vexas_edge.watching.arrivals import Arrivals, Standing
from vexas_edge.watching.status import WatchStatus, write_status
from vexas_edge.watching.tree import WatchedTree

# Every folder is listed once in this time, whether its own time has changed or not.
ROUND_SECONDS = 3600.0
_NOT_DONE: tuple[Standing, ...] = ("arriving", "ready", "waiting for another try")
# How long to wait after the results folder or the engine has failed, at first and at most.
_PAUSE_SECONDS = (10.0, 600.0)


@dataclass(frozen=True, kw_only=True)
class Watching:
    """How a folder is watched.

    every_seconds: how long to wait between two looks.
    settle_seconds: how long nothing of a smear must change before it counts as whole.
    done_marker: a file that says that a smear is whole, in its folder, or after a zip's name.
    once: whether to stop when what has settled is scored.
    """

    every_seconds: float = 10.0
    settle_seconds: float = 60.0
    done_marker: str | None = None
    once: bool = False


class Watcher:
    """A folder, and the scorer of what arrives in it."""

    def __init__(self, root: Path, scorer: Scorer, how: Watching) -> None:
        self._root, self._scorer, self._how = root, scorer, how
        self._tree = WatchedTree(root, scorer.reading)
        self._naming, self._given = scorer.naming, scorer.given
        self.arrivals = Arrivals(0.0 if how.done_marker else how.settle_seconds)
        self.batch = Batch(n_cases=None)
        self.trouble = ""

    def look(self, now: float) -> None:
        """See what has arrived or changed, and what is said of it by now."""
        troubles = [_trouble_with(said) for said in (self._naming, self._given)]
        trouble = "; ".join(filter(None, troubles))
        try:
            facts = self._tree.poll(min(1.0, self._how.every_seconds / ROUND_SECONDS))
        except InputError as error:
            self._tell(str(error))
            return
        self._tell(trouble)
        if self._naming.may_change or self._given.may_change:
            facts = {name: hash_of(fact, *self._said_of(name)) for name, fact in facts.items()}
        self.arrivals.see(facts, now)

    def _said_of(self, name: str) -> tuple[str, ...]:
        """What others say of a smear: what it is called, and what is known of its patient."""
        found = self._tree.smear(name)
        known = covariate_facts(self._scorer.covariates_of(found))
        return (self._naming.named(found).name, *known)

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            say(f"warning: {trouble}; trying again" if trouble else "note: that is over")
        self.trouble = trouble

    def score_next(self, now: float) -> bool:
        """Score the smear that has waited longest, if one is whole; returns whether there was one.

        Raises:
            HostError: the engine or the results folder cannot be used; the smear is tried again.
        """
        for name in self.arrivals.ready(now):
            found = self._tree.smear(name)
            if not self._is_marked(found) or not self._is_named(found, name, now):
                continue
            began = time.monotonic()
            try:
                with self._scorer.look(found, silent) as looked:
                    answered = self._scorer.answer(looked, silent)
                if self._is_to_be_tried_again(name, answered.error, now):
                    return True
                outcome = self._scorer.keep(answered)
            except HostError as error:
                self.arrivals.postpone(name, now, str(error), counts=False)
                raise
            self.batch.add(outcome, time.monotonic() - began)
            show(outcome, as_json=False)
            if answered.error:
                self.arrivals.give_up(name, answered.error)
            else:
                self.arrivals.finish(name)
            return True
        return False

    def _is_marked(self, found: FoundCase) -> bool:
        """Whether the file is there that says that a smear is whole."""
        marker, path = self._how.done_marker, found.path
        if marker is None:
            return True
        return any(map(is_there, (path / marker, path.with_name(f"{path.name}{marker}"))))

    def _is_named(self, found: FoundCase, name: str, now: float) -> bool:
        """Whether it is known what a smear is called; if that may come, it waits until then."""
        try:
            self._naming.id_of(found)
        except InputError as error:
            if self._how.once or not self._naming.may_change:
                return True  # it fails
            if self.arrivals.postpone(name, now, str(error), counts=False):
                say(f"note: {name}: waits: {error}")
            return False
        return True

    def _is_to_be_tried_again(self, name: str, problem: str, now: float) -> bool:
        """Whether a smear that cannot be scored may be later on; it is said why not now."""
        if not problem or self._how.once or self.arrivals.is_last_try(name):
            return False
        if not self._naming.is_named(self._tree.smear(name)):
            return False
        self.arrivals.postpone(name, now, problem)
        say(f"note: {name}: not yet: {problem}")
        return True

    def _told(self, text: str) -> str:
        return without_folders(unicode_text(text), self._root)

    def status(self, now: float, trouble: str = "") -> WatchStatus:
        """How it stands, for `vexas-edge watch --status`."""
        naming, standings = self._naming, list(self.arrivals.standings(now))
        return WatchStatus(
            folder=naming.shown(path_as_given(self._root)),
            looked=datetime.now(UTC).isoformat(timespec="seconds"),
            trouble=naming.shown_text(self._told(trouble or self.trouble)),
            counts=dict(Counter(standing for _, standing, _ in standings)),
            problems={
                naming.named(self._tree.smear(name)).name: naming.shown_text(self._told(why))
                for name, _, why in standings
                if why
            },
        )


def _trouble_with(said: Naming | GivenCovariates) -> str:
    """Why what others say of smears cannot be read again; empty if it can."""
    try:
        said.refresh()
    except InputError as error:
        return str(error)
    return ""


def run_watch(run: ScoringRun, how: Watching) -> int:
    """Score what arrives in a folder until a signal comes; returns the exit status.

    Args:
        run: its only case is the folder.

    Raises:
        InputError: there is no such folder.
        HostError, BundleError: it cannot begin; what fails later is tried again.
    """
    root, out = _checked_folders(run)
    opened, naming = opened_bundles(run), Naming(run.naming)
    opened.bundle.check_takes_images("watch")
    given, site = given_for_run(run, opened.bundle), site_of(opened.bundle, say)
    engine = replace(run.engine, threads=run.engine.threads or polite_threads())
    lower_priority()
    with ExitStack() as stack:
        stop = stack.enter_context(Stop(say))
        ledger = stack.enter_context(Ledger(out, say=say))
        sessions = stack.enter_context(opened.sessions(engine, run.precision, site))
        begin_run(ledger, run, naming, sessions)
        scorer = Scorer(
            sessions=sessions,
            reading=opened.reading,
            naming=naming,
            given=given,
            ledger=ledger,
            retype=run.retype,
            pages=run.pages,
            brief=True,
        )
        watcher = Watcher(root, scorer, how)
        _say_the_start(root, out, how)
        _watch(watcher, how, stop, ledger)
    _say_the_end(watcher)
    return watcher.batch.exit_status if how.once else 0


def _watch(watcher: Watcher, how: Watching, stop: Stop, ledger: Ledger) -> None:
    """Watch until it is over, whatever ends it; the ledger says how it did."""
    try:
        (_watch_once if how.once else _watch_on)(watcher, how, stop, ledger)
    except BaseException as error:
        with undisturbed():
            break_off(ledger, watcher.batch, error)
        raise
    ledger.end(stop.by or None, watcher.batch.n_known)


def _say_the_start(root: Path, out: Path, how: Watching) -> None:
    stops = "" if how.once else "; Ctrl-C stops it after the smear at hand"
    say(f"watching {root}; results go to {out}{stops}")


def _say_the_end(watcher: Watcher) -> None:
    left = Counter(standing for _, standing, _ in watcher.arrivals.standings(time.monotonic()))
    waits = ", ".join(f"{left[word]} {word}" for word in _NOT_DONE if left[word])
    say(f"{watcher.batch.summary()}{f'; not scored yet: {waits}' if waits else ''}")


def _checked_folders(run: ScoringRun) -> tuple[Path, Path]:
    """The watched folder, and the one for results, which must not lie in it."""
    (root,), out = run.cases, run.out
    if out is None:
        raise UsageError("watch needs a results folder")
    if not is_folder(root):
        raise InputError(f"{root} is no folder; expected the one that smears arrive in")
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(root)):
        raise UsageError(
            f"the results folder {out} lies in {root}, which nothing is written to; name another "
            "with -o"
        )
    return root, out


def _watch_once(watcher: Watcher, how: Watching, stop: Stop, ledger: Ledger) -> None:
    """Score what does not change while it is waited for it to settle."""
    watcher.look(time.monotonic())
    stop.wait(0.0 if how.done_marker else how.settle_seconds)
    now = time.monotonic()
    watcher.look(now)
    while not stop.is_set() and watcher.score_next(now):
        pass
    write_status(ledger.folder, watcher.status(now))


def _watch_on(watcher: Watcher, how: Watching, stop: Stop, ledger: Ledger) -> None:
    """Look and score until it is to be stopped.

    It is looked between two smears, too, so that one which changes meanwhile is left to settle.
    """
    (pause, longest), looked = _PAUSE_SECONDS, -math.inf
    while not stop.is_set():
        now = time.monotonic()
        if now - looked >= how.every_seconds:
            watcher.look(now)
            looked = now
        try:
            is_idle = not watcher.score_next(now)
        except TakenOverError:
            raise
        except HostError as error:  # such as a disk that is full for a while
            say(f"warning: {error}; trying again in {pause:.0f} s")
            write_status(ledger.folder, watcher.status(now, str(error)))
            stop.wait(pause)
            pause = min(2 * pause, longest)
            continue
        pause = _PAUSE_SECONDS[0]
        if is_idle:
            ledger.mend()
            write_status(ledger.folder, watcher.status(now))
            stop.wait(how.every_seconds)
