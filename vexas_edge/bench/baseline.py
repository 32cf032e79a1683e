"""A run's figures beside an earlier run's, on the same PC: what has become slower."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vexas_edge.errors import InputError, UsageError

# A smaller change of a median is no regression, however narrow the intervals.
LEAST_CHANGE = 0.05

# What makes two runs comparable: a PC, and what it was asked to run. Versions may differ.
SAME = {"host_name", "cpu", "gpu", "threads", "bundle", "engine", "device", "precision"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One figure then and now. ratio: of times in yardsticks, now over then; over 1 is slower."""

    name: str
    ratio: float
    regressed: bool


def check_same(now: Mapping[str, Any], then: Mapping[str, Any]) -> None:
    """Pass if two runs may be compared.

    Raises:
        UsageError: they are of different PCs, bundles, engines, devices, precisions or threads.
    """
    differ = [w for w in sorted(SAME) if then[w] != now[w]]
    if differ:
        named = "; ".join(f"{what}: {then[what]} then, {now[what]} now" for what in differ)
        raise UsageError(f"the baseline cannot be compared with; {named}")


def changes(
    lines: Sequence[Mapping[str, Any]], earlier: Sequence[Mapping[str, Any]]
) -> list[Change]:
    """Each figure that both runs have; regressed where the intervals do not meet.

    Raises:
        InputError: they have no figure in common.
    """
    then = {_name(line): line for line in earlier}
    found = [_change(line, then[_name(line)]) for line in lines if _name(line) in then]
    if not found:
        raise InputError("the baseline has no figure in common with this run")
    return found


def _change(now: Mapping[str, Any], then: Mapping[str, Any]) -> Change:
    ratio, apart = now["relative"] / then["relative"], now["relative_low"] > then["relative_high"]
    return Change(name=_name(now), ratio=ratio, regressed=apart and ratio >= 1 + LEAST_CHANGE)


def _name(line: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (line["model"], line["scenario"], f"{line['batch']} cells")))
