"""One run of `vexas-edge scan`: what would be read of each case, as JSON or as a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from vexas_edge.commands.console import echo_json
from vexas_edge.errors import InputError
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import read_case
from vexas_edge.smear.summary import summary_from_case
from vexas_edge.text import one_line


def scan_cases(wanted: Sequence[FoundCase], options: ReadOptions, *, as_json: bool) -> int:
    """Print what would be read of each case; returns how many could not be read."""
    unreadable = 0
    for found in wanted:
        try:
            case = read_case(found, options)
        except InputError as error:
            click.echo(one_line(f"error: {found.name}: {error}"), err=True)
            unreadable += 1
            continue
        with case:
            summary = summary_from_case(case)
        if as_json:
            echo_json(msgspec.json.encode(summary))
        else:
            click.echo(table_from_summary(summary))
    return unreadable


def table_from_summary(summary: Mapping[str, Any]) -> str:
    """The summary as text: cells by class, conflicts by pair of classes, ignored by reason."""
    classes, ignored = summary["classes"], summary["ignored"]
    pairs = Counter((file["folder"], file["prefix"]) for file in summary["conflicts"])
    blocks: list[list[tuple[object, ...]]] = [
        [
            ("class", "cells", "named by"),
            *((name, entry["n"], _counts_text(entry["from"])) for name, entry in classes.items()),
            ("total", sum(entry["n"] for entry in classes.values()), ""),
        ],
        [("folder says", "prefix says", "cells"), *((*pair, n) for pair, n in pairs.items())],
        [("ignored because", "files"), *ignored["reasons"].items()],
        [("unknown class", "files"), *ignored["unknown_classes"].items()],
    ]
    tables = [_columns(rows) for rows in blocks if len(rows) > 1]
    return "\n\n".join([_printable(summary["case"]), *tables])


def _counts_text(named_by: str | Mapping[str, int]) -> str:
    if isinstance(named_by, str):
        return named_by
    return ", ".join(f"{name} {n}" for name, n in named_by.items())


def _columns(rows: Sequence[Sequence[object]]) -> str:
    texts = [[_printable(str(value)) for value in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(*texts, strict=True)]
    aligns = [str.rjust if isinstance(value, int) else str.ljust for value in rows[-1]]
    lines = (
        "  ".join(
            align(text, width) for align, text, width in zip(aligns, row, widths, strict=True)
        )
        for row in texts
    )
    return "\n".join(line.rstrip() for line in lines)


def _printable(text: str) -> str:
    # Not every console can show every name, and a name may hold a line break.
    return "".join(c if c.isascii() and c.isprintable() else ascii(c)[1:-1] for c in text)
