"""The README's reference and the code name the same commands and options."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from vexas_edge.commands.cli import cli
from vexas_edge.workshop import workshop

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ROOTS = {"vexas-edge": cli, "vexas-workshop": workshop}


def commands_of(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, each with the words that call it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert isinstance(inner, click.Command)
        yield from commands_of(f"{path} {name}", inner)


COMMANDS = dict(pair for root, group in ROOTS.items() for pair in commands_of(root, group))


def options_of(command: click.Command) -> set[str]:
    """The longest spelling of each option."""
    options = [p for p in command.params if isinstance(p, click.Option)]
    return {max(option.opts, key=len) for option in options}


def reference() -> dict[str, set[str]]:
    """The README's reference: each command's options."""
    (section,) = re.findall(r"^## Reference\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(vexas-[^`]*)` \| (.*) \|$", section, re.MULTILINE)
    return {
        " ".join(word for word in words.split() if word.islower()): set(
            re.findall(r"`(-[-a-zA-Z]+)`", options)
        )
        for words, options in rows
    }


def test_the_readme_lists_every_command_and_every_option() -> None:
    found = {path: options_of(command) for path, command in COMMANDS.items()}
    assert reference() == found


if __name__ == "__main__":  # prints the README's table anew
    for path, command in COMMANDS.items():
        arguments = [
            p.make_metavar(click.Context(command))
            for p in command.params
            if isinstance(p, click.Argument)
        ]
        options = " ".join(f"`{option}`" for option in sorted(options_of(command)))
        print(f"| `{' '.join([path, *arguments])}` | {options} |")
