"""A run's figures beside an earlier run's, on the same PC: what has become slower."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vexas_edge.errors import InputError, UsageError

# A smaller change of a median is no regression, however narrow the intervals.
LEAST_CHANGE = 0.05

# What makes two runs comparable: a PC, and what it was asked to run. Versions may differ.
_SAME = ("host_name", "system", "cpu", "gpu", "threads", "bundle", "engine", "precision")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One figure then and now. ratio: of times now over then, over 1 is slower."""

    name: str
    ratio: float
    regressed: bool


def changes(
    lines: Sequence[Mapping[str, Any]], earlier: Sequence[Mapping[str, Any]]
) -> list[Change]:
    """Each figure that both runs have; regressed where the intervals do not meet.

    Raises:
        UsageError: the runs are of different PCs, bundles, engines, precisions or threads.
        InputError: they have no figure in common.
    """
    differ = [
        f"{what}: {earlier[0]['run'][what]} then, {lines[0]['run'][what]} now"
        for what in _SAME
        if earlier[0]["run"][what] != lines[0]["run"][what]
    ]
    if differ:
        raise UsageError(f"the baseline cannot be compared with; {'; '.join(differ)}")
    then = {_name(line): line for line in earlier}
    found = [_change(line, then[_name(line)]) for line in lines if _name(line) in then]
    if not found:
        raise InputError("the baseline has no figure in common with this run")
    return found


def _change(now: Mapping[str, Any], then: Mapping[str, Any]) -> Change:
    if now["unit"] == "cells/s":
        ratio, apart = then["value"] / now["value"], now["high"] < then["low"]
    else:
        ratio, apart = now["value"] / then["value"], now["low"] > then["high"]
    return Change(name=_name(now), ratio=ratio, regressed=apart and ratio >= 1 + LEAST_CHANGE)


def _name(line: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (line["model"], line["scenario"], f"{line['batch']} cells")))
