"""Where long work of the workshop reports its progress, and how long it still takes."""

from dataclasses import dataclass

from vexas_edge.talk import Progress, Say

_MINUTE_S, _HOUR_S = 60, 3600


@dataclass(frozen=True, kw_only=True)
class Talk:
    """The callbacks of one run.

    say: takes a line of text.
    progress: takes what is being done, how much of it is done, and how much there is.
    """

    say: Say
    progress: Progress


def time_left(seconds: float) -> str:
    """How long work of so many seconds still takes, in words."""
    if seconds >= 1.5 * _HOUR_S:
        return f"about {seconds / _HOUR_S:.0f} h left"
    if seconds >= _MINUTE_S:
        return f"about {seconds / _MINUTE_S:.0f} min left"
    return "under a minute left"
