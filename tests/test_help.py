"""Every command explains itself: a help text, an example, a word on each option."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from inspect import cleandoc

import click
import pytest

from training.mask_network.segmenter import SegmenterRecipe
from training.pretraining.trainer import PretrainOptions
from training.typing.options import TypingOptions
from vexas_edge.commands.cli import cli
from vexas_edge.workshop import GROUPS

PROGRAMS = ("vexas-edge", "vexas-workshop")


def commands_below(
    path: tuple[str, ...], command: click.Command
) -> Iterator[tuple[str, click.Command]]:
    """The command's path, as it is typed, and the command; then those of its sub-commands."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands_below((*path, name), inner)


COMMANDS = dict(commands_below(("vexas-edge",), cli)) | {
    path: command
    for group, module in GROUPS.items()
    for path, command in commands_below(("vexas-workshop", group), import_module(module).cli)
}
WORKING = {path: c for path, c in COMMANDS.items() if not isinstance(c, click.Group)}


def example_of(command: click.Command) -> list[list[str]]:
    """The words of each line of the example, with which the command's help ends."""
    before, _, example = cleandoc(command.help or "").partition("\n\b\nExample:\n")
    assert before
    assert example, "the help has no example"
    return [shlex.split(line) for line in example.replace("\\\n", " ").splitlines()]


def parse(words: list[str]) -> str:
    """Parse a line as its program would, without running it; returns its command's path.

    Raises:
        click.UsageError: there is no such command, or it does not take these words.
    """
    depth = next((n for n in (3, 2) if " ".join(words[:n]) in WORKING), 0)
    path = " ".join(words[:depth])
    if path not in WORKING:
        raise click.UsageError(f"no such command: {' '.join(words)}")
    WORKING[path].make_context(path, words[depth:])
    return path


def test_the_walk_finds_the_commands() -> None:
    found = {"workshop train pretrain", "workshop export bundle", "workshop kit", "edge score"}
    assert {f"vexas-{path}" for path in found} <= WORKING.keys()


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_says_what_the_command_does(path: str) -> None:
    first, *_ = (COMMANDS[path].help or "").splitlines()
    assert first.endswith(".")
    assert len(first.split()) > 5


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_ends_with_an_example_that_the_command_takes(path: str) -> None:
    lines = example_of(COMMANDS[path])
    ours = [words for words in lines if words[0] in PROGRAMS]
    assert [words[0] for words in lines if words not in ours] in ([], ["cp"])
    called = [parse(words) for words in ours]
    assert called[-1].startswith(path)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_has_a_help_text(path: str) -> None:
    options = [one for one in COMMANDS[path].params if isinstance(one, click.Option)]
    silent = [one.opts for one in options if not one.help]
    assert silent == []


@pytest.mark.parametrize("path", WORKING)
def test_every_argument_is_explained(path: str) -> None:
    command = WORKING[path]
    for argument in command.params:
        if isinstance(argument, click.Argument):
            shown = (argument.metavar or str(argument.name)).upper().rstrip(".")
            assert shown in (command.help or "")


@pytest.mark.parametrize(
    "line",
    [
        "vexas-workshop export nothing",
        "vexas-workshop export bundle spec.toml -o site.vxb --no-such-option",
        "vexas-workshop export bundle spec.toml",
        "vexas-workshop calibrate int8 site.vxb --cohort cohort.csv --only int4",
    ],
)
def test_an_example_that_the_command_does_not_take_would_be_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line.split())


def test_the_defaults_that_help_names_are_those_of_the_dataclasses() -> None:
    options = asdict(PretrainOptions())
    defaults = options.pop("views") | options.pop("pace") | options
    defaults |= {f"batch_{name}": value for name, value in options["batch"].items()}
    assert named_defaults("train pretrain").items() <= defaults.items()
    assert len(named_defaults("train pretrain")) == 20
    typing = asdict(TypingOptions(train="all"))
    typing |= typing.pop("views")
    named = named_defaults("train typing")
    assert {("C" if name == "c" else name): value for name, value in named.items()}.items() <= (
        typing | {"train": "last"}
    ).items()
    assert len(named) == 19
    assert named_defaults("train segmenter") == {"steps": SegmenterRecipe().steps}


def named_defaults(path: str) -> dict[str, object]:
    """The defaults that help texts name in words of their own, of the options' own types."""
    named: dict[str, object] = {}
    for option in WORKING[f"vexas-workshop {path}"].params:
        found = re.search(r"\[default: (\S+)\]$", getattr(option, "help", None) or "")
        if found and found[1] not in ("random", "all"):
            named[str(option.name)] = option.type.convert(found[1], option, None)
    return named
