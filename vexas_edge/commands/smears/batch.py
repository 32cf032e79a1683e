"""What a run over many cases has done so far, in words: while it runs, and at its end."""

import time
from collections import Counter
from dataclasses import dataclass, field, replace

from vexas_edge.commands.console import (
    drop_output,
    echo,
    echo_json,
    is_of_output,
    say,
    status_of_batch,
)
from vexas_edge.results.values import CaseScore, Status
from vexas_edge.results.words import json_from_score, line_from_score, remarks_from_score
from vexas_edge.talk import time_left

BUG, ABSTAINED = 1, 3
_REASONS_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one smear.

    score: its result as it may be shown; None where it was known, and nobody wants to see it.
    reasons: why models abstained.
    made: whether the result is new.
    is_bug: whether it failed by a fault of ours.
    remarks: on how it stands among the others, for people.
    error: why it failed, with the whole path of what is at fault, which its result does not hold;
    empty where ids are hashed.
    """

    status: Status
    score: CaseScore | None = None
    reasons: frozenset[str] = frozenset()
    made: bool = True
    is_bug: bool = False
    remarks: tuple[str, ...] = ()
    error: str = ""


@dataclass(kw_only=True)
class Batch:
    """The cases of one run.

    n_cases: how many there are; None where nobody knows.
    n_made: how many results were new.
    n_bugs: how many cases failed by a fault of ours.
    """

    n_cases: int | None
    started: float = field(default_factory=time.monotonic)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    n_made: int = 0
    n_bugs: int = 0
    seconds_made: float = 0.0

    def add(self, outcome: Outcome, seconds: float) -> None:
        """Count a case that took so many seconds."""
        self.statuses[outcome.status] += 1
        self.n_bugs += outcome.is_bug
        if outcome.status == "abstained":
            self.reasons.update(outcome.reasons)
        if outcome.made:
            self.n_made += 1
            self.seconds_made += seconds

    @property
    def n_done(self) -> int:
        return self.statuses.total()

    @property
    def n_known(self) -> int:
        """How many cases had their result already."""
        return self.n_done - self.n_made

    def place(self) -> str:
        """Which case is next, and how long the rest still takes; empty for a single case."""
        if self.n_cases is None or self.n_cases < 2:
            return ""
        place = f"{self.n_done + 1} of {self.n_cases}"
        if not self.n_made:
            return place
        left = (self.n_cases - self.n_done) * self.seconds_made / self.n_made
        return f"{place}, {time_left(left)}"

    @property
    def exit_status(self) -> int:
        """What a command ends with that has done all of them."""
        if self.n_bugs:
            return BUG
        failed = status_of_batch(self.n_done, self.statuses["failed"])
        return failed or (ABSTAINED if self.statuses["abstained"] else 0)

    def summary(self) -> str:
        """One line about all cases that were done."""
        n, seconds = self.n_done, time.monotonic() - self.started
        scored, abstained, failed = (
            self.statuses[status] for status in ("scored", "abstained", "failed")
        )
        of = f" of {self.n_cases}" if self.n_cases is not None and self.n_cases > n else ""
        cases = "case" if (self.n_cases or n) == 1 else "cases"
        watching = " of watching" if self.n_cases is None else ""
        known = f", {self.n_known} of them known before" if self.n_known else ""
        why = ", ".join(f"{reason} {n}" for reason, n in self.reasons.most_common(_REASONS_NAMED))
        return (
            f"{n}{of} {cases} in {_duration(seconds)}{watching}{known}: {scored} scored, "
            f"{abstained} abstained{f' ({why})' if why else ''}, {failed} failed"
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def show(outcome: Outcome, *, as_json: bool, is_kept: bool = True) -> None:
    """Print the result on stdout, and on stderr what a person must know beside it.

    Args:
        is_kept: whether it is in a results folder, so that nothing is lost where stdout fails.
    """
    try:
        _show(outcome, as_json=as_json)
    except OSError as error:
        if not (is_kept and is_of_output(error)):
            raise
        drop_output()


def _show(outcome: Outcome, *, as_json: bool) -> None:
    score = outcome.score
    if score is None:
        for line in outcome.remarks:
            say(line)
        return
    if as_json:
        echo_json(json_from_score(score))
    elif score.error is None:
        echo(line_from_score(score))
    told = replace(score, error=outcome.error) if outcome.error else score
    for line in (*remarks_from_score(told), *outcome.remarks):
        say(line)
