"""The progress of a command on stderr."""

import sys
import time

import click

from vexas_edge.text import one_line

_LINE_SECONDS = {True: 0.1, False: 10.0}  # between progress lines, by whether a person watches


class ProgressLine:
    """Reports the progress of a case on stderr, on a terminal more often than in a log file.

    unit: what is counted.
    """

    def __init__(self, case: str, unit: str = "cells") -> None:
        self._unit = unit
        self._case = one_line(case)
        self._watched = sys.stderr.isatty()
        self._next = time.monotonic() + _LINE_SECONDS[self._watched]
        self._width = 0

    def __call__(self, model: str, done: int, total: int) -> None:
        """Report that `done` of `total` are done for one model, if it is time to."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LINE_SECONDS[self._watched]
        text = f"{self._case}: {model}, {done} of {total} {self._unit}".rstrip()
        if self._watched:
            click.echo("\r" + text.ljust(self._width), nl=False, err=True)
            self._width = len(text)
        else:
            click.echo(text, err=True)

    def clear(self) -> None:
        """Remove the line, before something else is printed."""
        if self._width:
            click.echo("\r" + " " * self._width + "\r", nl=False, err=True)
            self._width = 0
