"""What differs between a recorded result and one that was made again from the same smear."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from vexas_edge.results.run import Run
from vexas_edge.results.values import CaseScore, ModelScore, UsedCell

_OF_CASE = (
    *("status", "call", "lead", "missing_gate", "notice", "error"),
    *("typing", "retyping", "differential"),
)
# What made the numbers, as a record has it.
_OF_RUN = ("vexas_edge", "python", "numpy", "decoder", "engine", "engine_version", "device")


def differences(recorded: CaseScore, now: CaseScore) -> Iterator[str]:
    """Each figure, word and cell that is not the same bit for bit, in words.

    Names and paths do not count: a smear may have been moved, and its files renamed.
    """
    for name in _OF_CASE:
        before, after = (msgspec.to_builtins(getattr(one, name)) for one in (recorded, now))
        yield from _differing(name, before, after)
    for name in ("typed_cells", "bystanders"):
        yield from _of_cells(name, getattr(recorded, name), getattr(now, name))
    models = {model.model: model for model in now.models}
    for old in recorded.models:
        if old.model in models:
            yield from _of_model(old, models[old.model])
    yield from _differing("models", sorted(m.model for m in recorded.models), sorted(models))


def other_makers(recorded: Run | None, now: Run | None) -> Iterator[str]:
    """What made a result that differs from what made the record, in words."""
    if recorded and now:
        for name in (*_OF_RUN, "precision"):
            yield from _differing(name, getattr(recorded, name), getattr(now, name))


def _of_model(old: ModelScore, new: ModelScore) -> Iterator[str]:
    before, after = (msgspec.to_builtins(model) for model in (old, new))
    for name in sorted(before.keys() - {"cells"}):
        yield from _differing(f"{old.model}.{name}", before[name], after[name])
    yield from _of_cells(f"{old.model}.cells", old.cells, new.cells)


def _of_cells(name: str, old: Iterable[UsedCell], new: Iterable[UsedCell]) -> Iterator[str]:
    before, after = _counted(old), _counted(new)
    gone, come = before - after, after - before
    if gone or come:
        yield f"{name}: {gone.total()} are no longer so, {come.total()} are so now"


def _counted(cells: Iterable[UsedCell]) -> Counter[tuple[object, ...]]:
    return Counter(
        (
            *(cell.cell_class, cell.identity or cell.sha256, cell.status, cell.reason),
            *(cell.named_by, cell.predicted_class, cell.probability),
        )
        for cell in cells
    )


def _differing(name: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() == new.keys():
        for key in old:
            yield from _differing(f"{name}.{key}", old[key], new[key])
    elif old != new:
        yield f"{name}: {old} was recorded, now {new}"
