"""The commands of `vexas-workshop train`, each a thin layer over a stage."""

from typing import Any


def names_from_words(words: str | None) -> tuple[str, ...]:
    """The names in a comma-separated list; none if there is no list."""
    return tuple(name.strip() for name in words.split(",")) if words else ()


def console_talk(name: str, unit: str = "") -> Any:
    """A `Talk` on stderr: lines, and a line of progress that begins with `name`."""
    from training.talk import Talk
    from vexas_edge.commands.console import ProgressLine, say

    progress = ProgressLine(name, unit=unit)

    def show(text: str) -> None:
        progress.clear()
        say(text)

    return Talk(say=show, progress=progress)
