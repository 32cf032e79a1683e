"""Stopping in order on a signal: what is at hand is finished first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from vexas_edge.talk import Say

# What is sent by Ctrl-C, by a service manager, by Windows's Ctrl-Break and by a closed terminal.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is begun in here is finished before a signal interrupts, in the main thread."""
    came: list[int] = []
    before: dict[int, Any] = {}
    try:
        for number in _numbers():
            before[number] = signal.signal(number, lambda which, _: came.append(which))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def _numbers() -> Iterator[int]:
    """The signals that ask to stop, unless whoever started us lets none through."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) not in (signal.SIG_IGN, None):
            yield number


class Stop:
    """Whether to stop, as a context manager: the first signal asks for it, a second interrupts.

    by: the name of the signal; empty if none came.
    """

    def __init__(self, say: Say) -> None:
        self.by = ""
        self._say = say
        self._asked = threading.Event()
        self._before: dict[int, Any] = {}

    def is_set(self) -> bool:
        return self._asked.is_set()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until it is to be stopped."""
        self._asked.wait(seconds)

    def _ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signal wants it
        if self._asked.is_set():
            raise KeyboardInterrupt
        self.by = signal.Signals(number).name
        self._asked.set()
        self._say(f"{self.by}: stopping after the smear at hand; once more stops at once")

    def __enter__(self) -> Self:
        for number in _numbers():
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
