"""The net under each smear: an exception that nobody expects fails that smear alone."""

import traceback
from pathlib import Path

from vexas_edge.commands.console import say

# What it catches, beside our own errors, which go where they belong. Tests empty it.
ESCAPED: tuple[type[Exception], ...] = (Exception,)


def told_bug(error: Exception) -> str:
    """Print the traceback of a bug of ours on stderr; returns the error of its smear."""
    for text in traceback.format_exception(error):
        for line in text.rstrip().splitlines():
            say(line)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"vexas-edge met a bug of its own ({type(error).__name__} in {Path(where.filename).name}, "
        f"line {where.lineno}); please report it with the lines on stderr: the case is not scored"
    )
