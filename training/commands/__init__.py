"""The commands of `vexas-workshop train`, each a thin layer over a stage."""

from typing import Any


def names_from_words(words: str | None) -> tuple[str, ...]:
    """The names in a comma-separated list; none if there is no list."""
    return tuple(name.strip() for name in words.split(",")) if words else ()


def console_talk(name: str) -> Any:
    """A `Talk` on stderr: lines, and a line of progress that begins with `name`."""
    import click

    from training.talk import Talk
    from vexas_edge.commands.console import ProgressLine
    from vexas_edge.text import one_line

    progress = ProgressLine(name, unit="")

    def say(text: str) -> None:
        progress.clear()
        click.echo(one_line(text), err=True)

    return Talk(say=say, progress=progress)
