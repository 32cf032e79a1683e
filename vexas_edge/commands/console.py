"""What all our command lines share: exit statuses, one-line errors, and any console's encoding.

All that is printed goes through here, so that nothing which a bundle, a file's name or a message
holds tells the terminal to do something, or shows a line in another order than it has.
"""

import io
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, Self

import click

from vexas_edge.errors import HostError, VexasEdgeError
from vexas_edge.text import one_line

UNREADABLE, SOME_FAILED, INTERRUPTED = 5, 7, 130
_LINE_SECONDS = {True: 0.1, False: 10.0}  # between progress lines, by whether a person watches


def run_command_line(command: click.Command) -> NoReturn:
    """Run a click command and exit: expected errors become one line and their status.

    Any other exception is a bug of ours and keeps its traceback, with status 1.
    """
    warnings.filterwarnings("ignore", module="PIL")  # what a damaged image is, we say ourselves
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A cp1252 console cannot show every file name, which must not end the run.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = command.main(standalone_mode=False)
    except click.ClickException as error:
        _show_usage(error)
        status = error.exit_code
    except click.Abort as error:
        if isinstance(
            error.__cause__, EOFError
        ):  # click treats it as an interruption, which it is not
            raise error.__cause__ from None
        _say("interrupted", error.__cause__)
        status = INTERRUPTED
    except VexasEdgeError as error:
        _say(f"error: {error}", error)
        status = error.exit_status
    except OSError as error:
        if not is_of_output(error):
            raise
        drop_output()
        _say(f"error: stdout cannot be written: {error.strerror}; give it more room", error)
        status = HostError.exit_status
    sys.exit(status if isinstance(status, int) else 0)


def is_of_output(error: OSError) -> bool:
    """Whether it was raised while something was printed."""
    return any(frame.name == "echo" for frame in traceback.extract_tb(error.__traceback__))


def drop_output() -> None:
    """Print nothing more on stdout, which nobody reads any longer or which is full."""
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open


def _show_usage(error: click.ClickException) -> None:
    """Print what click would, but that its message, which may quote a file's name, is one line."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context:
        hint = f"Try '{context.command_path} {context.help_option_names[-1]}' for help."
        click.echo(f"{context.get_usage()}\n{hint}\n", err=True)
    say(f"Error: {error.format_message()}")


def status_of_batch(n_cases: int, n_failed: int) -> int:
    """The exit status of a command that could not read some of its cases."""
    if not n_failed:
        return 0
    return SOME_FAILED if n_cases > 1 else UNREADABLE


def _say(text: str, error: BaseException | None) -> None:
    """Print the text on stderr, then a line for each note on what else happened at the end."""
    for line in (text, *getattr(error, "__notes__", ())):
        click.echo(one_line(line), err=True)


def say(text: str) -> None:
    """Print the text on stderr as one line."""
    click.echo(one_line(text), err=True)


def echo(text: str) -> None:
    """Print the text on stdout as one line, indented as it was."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    click.echo(f"{indent}{one_line(text)}")


def echo_lines(lines: Iterable[str]) -> None:
    """Print each text on stdout as one line, indented as it was."""
    for line in lines:
        echo(line)


def echo_json(line: bytes) -> None:
    """Print a JSON line on stdout in ASCII, so that it is valid in any encoding of the console."""
    import json

    click.echo(json.dumps(json.loads(line), separators=(",", ":")))


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

    def of(self, case: str) -> Self:
        """The same line for another case."""
        self._case = one_line(case)
        return self

    def __call__(self, model: str, done: int, total: int) -> None:
        """Report that `done` of `total` are done for one model, if it is time to."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LINE_SECONDS[self._watched]
        text = one_line(f"{self._case}: {model}, {done} of {total} {self._unit}")
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
