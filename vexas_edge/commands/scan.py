"""One run of `vexas-edge scan`: what would be read of each case, as JSON or as a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from vexas_edge.commands.console import echo_json, echo_lines, say
from vexas_edge.errors import InputError
from vexas_edge.smear.case import Case, FoundCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import read_case


def scan_cases(wanted: Sequence[FoundCase], options: ReadOptions, *, as_json: bool) -> int:
    """Print what would be read of each case; returns how many could not be read."""
    unreadable = 0
    for found in wanted:
        try:
            case = read_case(found, options)
        except InputError as error:
            say(f"error: {found.name}: {error}")
            unreadable += 1
            continue
        with case:
            summary = summary_from_case(case)
        if as_json:
            echo_json(msgspec.json.encode(summary))
        else:
            echo_lines(table_from_summary(summary).split("\n"))
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


def summary_from_case(case: Case) -> dict[str, Any]:
    """Counts by class, conflicts and ignored files of a case, ready for JSON.

    For each class, `from` says what named its cells (`folder`, `prefix` or `declared`); where
    several did, it holds the count of each.
    """
    named_by: dict[str, Counter[str]] = {}
    for cell in case.cells:
        named_by.setdefault(cell.cell_class, Counter())[cell.named_by] += 1
    unknown = Counter(file.class_name for file in case.ignored if file.class_name)
    return {
        "case": case.name,
        "classes": {
            name: {"n": counts.total(), "from": _single_or_counts(counts)}
            for name, counts in sorted(named_by.items())
        },
        "conflicts": [
            {"path": file.path, "folder": file.folder_class, "prefix": file.prefix_class}
            for file in case.conflicts
        ],
        "ignored": {
            "n": len(case.ignored),
            "reasons": _sorted_counts(Counter(file.reason for file in case.ignored)),
            "unknown_classes": _sorted_counts(unknown),
            "files": [{"path": file.path, "reason": file.reason} for file in case.ignored],
        },
    }


def _single_or_counts(counts: Counter[str]) -> str | dict[str, int]:
    return next(iter(counts)) if len(counts) == 1 else _sorted_counts(counts)


def _sorted_counts(counts: Mapping[Any, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
