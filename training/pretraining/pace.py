"""The learning rate and the end of training, as functions of the losses so far.

Nothing here keeps state, so a run that continues after an interruption has none to restore.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, inf, pi
from typing import Literal

from vexas_edge.errors import UsageError

Schedule = Literal["plateau", "cosine"]


@dataclass(frozen=True, kw_only=True)
class PaceOptions:
    """The learning rate and the end of training; the defaults are the VEXAS paper's (CCLM 2023).

    schedule: with "plateau", the rate is halved, down to `lowest_rate`, whenever the loss has not
        fallen by `least_fall` in `halve_after` epochs, and training ends when it has not in
        `stop_after` epochs. With "cosine", the rate falls to zero over `epochs`.
    rate: the first or highest learning rate.
    warm_up: epochs, or part of one, over which the rate first rises from zero.
    epochs: with "plateau" the most, for which the paper names no limit; with "cosine" exactly.
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
            raise UsageError(
                f"rate is {self.rate}, warm_up {self.warm_up}, halve_after {self.halve_after}, "
                f"stop_after {self.stop_after} and epochs {self.epochs}; expected a rate above 0, "
                "a warm_up of at least 0 and counts of at least 1"
            )


def rate_at(losses: Sequence[float], share: float, options: PaceOptions) -> float:
    """The learning rate within an epoch.

    Args:
        losses: of the epochs before.
        share: the part of this epoch that is over, 0 to 1.
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
