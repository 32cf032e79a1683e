"""What fails a smear alone: a file that cannot be read, too little memory, and bugs of ours."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vexas_edge.commands.console import say
from vexas_edge.errors import InputError, VexasEdgeError

# The exceptions that nobody expects, beside our own errors, which go where they belong. Tests empty
# it, so that it hides nothing.
ESCAPED: tuple[type[Exception], ...] = (Exception,)

_NO_MEMORY = (
    "this PC's memory ran out; the case is not scored on the rest: close other programs, and score "
    "it again"
)
_Made = TypeVar("_Made")


def caught(work: Callable[[], _Made], failed: Callable[[str, bool], _Made]) -> _Made:
    """What the work gives, or else what `failed` makes of an error and of whether it is our bug.

    Raises:
        HostError, BundleError, UsageError: every other smear would fail in the same way.
    """
    try:
        return work()
    except InputError as error:
        return failed(str(error), False)
    except MemoryError:
        return failed(_NO_MEMORY, False)
    except VexasEdgeError:
        raise
    except ESCAPED as error:
        return failed(_told_bug(error), True)


def _told_bug(error: Exception) -> str:
    """Print the traceback of a bug of ours on stderr; returns the error of its smear."""
    for text in traceback.format_exception(error):
        for line in text.rstrip().splitlines():
            say(line)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"vexas-edge met a bug of its own ({type(error).__name__} in {Path(where.filename).name}, "
        f"line {where.lineno}); please report it with the lines on stderr: the case is not scored"
    )
