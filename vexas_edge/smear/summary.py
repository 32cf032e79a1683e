"""A summary of which files of a case are cells and which are not, as plain values."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vexas_edge.smear.case import Case


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
