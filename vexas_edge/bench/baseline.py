"""The comparison of a run's figures with those of an earlier run on a PC of the same kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vexas_edge.errors import InputError, UsageError

# A smaller change of a median does not count as a regression, however narrow the intervals.
LEAST_CHANGE = 0.05

# Two runs can be compared if they agree in the kind of PC and in what it was asked to run. Versions
# may differ.
SAME = {"cpu", "gpu", "threads", "bundle", "engine", "device", "precision"}

# The figures by which they are compared.
COMPARED = ("relative", "relative_low", "relative_high")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One figure then and now.

    ratio: the time now over the time then, both in yardsticks; over 1 is slower.
    """

    name: str
    ratio: float
    regressed: bool


def check_same(now: Mapping[str, Any], then: Mapping[str, Any]) -> None:
    """Check that two runs can be compared.

    Raises:
        UsageError: they are of different kinds of PCs, bundles, engines, devices, precisions or
            threads.
    """
    differ = [w for w in sorted(SAME) if then[w] != now[w]]
    if differ:
        named = "; ".join(f"{what}: {then[what]} then, {now[what]} now" for what in differ)
        raise UsageError(f"this run cannot be compared with the baseline: {named}")


def changes(
    lines: Sequence[Mapping[str, Any]], earlier: Sequence[Mapping[str, Any]]
) -> list[Change]:
    """The change of each figure that both runs have.

    A figure has regressed if it is slower and the intervals of both runs do not overlap.

    Raises:
        InputError: the runs have no figure in common.
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
