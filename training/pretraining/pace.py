"""How fast learning goes on and when it ends, as functions of the losses so far.

Nothing here has a memory of its own, so a run that goes on after an interruption cannot forget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, inf, pi
from typing import Literal

from vexas_edge.errors import UsageError

Schedule = Literal["plateau", "cosine"]


@dataclass(frozen=True, kw_only=True)
class PaceOptions:
    """The learning rate and the end; the defaults are the VEXAS paper's (CCLM 2023).

    plateau: the rate is halved whenever the loss has not fallen by `least_fall` in `halve_after`
    epochs, down to `lowest_rate`, and learning ends when it has not in `stop_after`. cosine: the
    rate falls to nothing over `epochs`, all of which are run. warm_up: epochs, or part of one, over
    which either rises from nothing. epochs: at most; the paper names no limit.
    """

    schedule: Schedule = "plateau"
    rate: float = 1e-5
    lowest_rate: float = 1e-5
    least_fall: float = 1e-3
    halve_after: int = 3
    stop_after: int = 5
    warm_up: float = 0.0
    epochs: int = 1000

    def __post_init__(self) -> None:
        counts = (self.halve_after, self.stop_after, self.epochs)
        if self.rate <= 0 or self.warm_up < 0 or min(counts) < 1:
            raise UsageError(f"{self} is no way to learn; rates and counts are above nothing")


def rate_at(losses: Sequence[float], share: float, options: PaceOptions) -> float:
    """The learning rate in an epoch.

    Args:
        losses: of the epochs before. share: of the epoch that is over, 0 to 1.
    """
    done = len(losses) + share
    rate = _rate(losses, done, options)
    return rate * min(1.0, done / options.warm_up) if options.warm_up else rate


def is_over(losses: Sequence[float], options: PaceOptions) -> bool:
    """Whether no further epoch is to be run."""
    if len(losses) >= options.epochs:
        return True
    return options.schedule == "plateau" and _plateau(losses, options)[1] >= options.stop_after


def _rate(losses: Sequence[float], done: float, options: PaceOptions) -> float:
    if options.schedule == "cosine":
        left = (done - options.warm_up) / max(options.epochs - options.warm_up, 1e-9)
        return options.rate * 0.5 * (1 + cos(pi * min(max(left, 0.0), 1.0)))
    return _plateau(losses, options)[0]


def _plateau(losses: Sequence[float], options: PaceOptions) -> tuple[float, int]:
    """The rate after these losses, and how many epochs ago the loss last fell enough."""
    rate, best, idle, since_halved = options.rate, inf, 0, 0
    for loss in losses:
        if loss < best - options.least_fall:
            best, idle, since_halved = loss, 0, 0
            continue
        idle, since_halved = idle + 1, since_halved + 1
        if since_halved == options.halve_after:
            rate, since_halved = max(rate / 2, min(options.lowest_rate, rate)), 0
    return rate, idle
