"""Adds the results of a benchmark to a file of JSON lines, one line a measurement."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from host import host_facts

lines_out = click.option(
    "-o",
    "out",
    type=click.Path(path_type=Path),
    required=True,
    help="JSON lines file to append to.",
)


def add_line(out: Path, line: Mapping[str, Any]) -> None:
    """Add a line after what `host_facts` says of this machine to the file `out`; show it, too."""
    text = json.dumps({**host_facts(), **line})
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as stream:
        stream.write(text + "\n")
    click.echo(text)
