"""How long work reports its progress, and how long it still takes."""

from collections.abc import Callable

# Called with one line that says what is being done.
Say = Callable[[str], None]
# Called with the name of what is counted, how many are done and how many there are.
Progress = Callable[[str, int, int], None]

_MINUTE_S, _HOUR_S = 60, 3600


def silent(name: str, done: int, total: int) -> None:
    """Report no progress: nobody looks on."""


def time_left(seconds: float) -> str:
    """How long work of so many seconds still takes, in words."""
    if seconds >= 1.5 * _HOUR_S:
        return f"about {seconds / _HOUR_S:.0f} h left"
    if seconds >= _MINUTE_S:
        return f"about {seconds / _MINUTE_S:.0f} min left"
    return "under a minute left"
