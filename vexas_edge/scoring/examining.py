"""What is seen of a model's cells, and whether it may answer, before its classifier is asked.

Everything here is the same for two bundles that differ only in their classifier. So a model that
abstains tells nothing of the score that it would have given: its head is never run, and what the
fused graph computes beside the encodings is not looked at.
"""

from collections.abc import Sequence
from dataclasses import replace

from vexas_edge.bundle.manifest import Model
from vexas_edge.cells.background import Background
from vexas_edge.domain.gate import Judgement, judge
from vexas_edge.domain.reference import Reference
from vexas_edge.quality.statistics import MEASURED_CELLS, case_statistics, cell_statistics
from vexas_edge.scoring.abstention import (
    CellCounts,
    Reason,
    counts_from_records,
    reason_for_cut_out,
    reasons_to_abstain,
)
from vexas_edge.scoring.encoded import Encoded, Examined
from vexas_edge.scoring.reading import ReadCells

# Families of changes that lie with the whole slide: where one model's cells show such a fault, the
# other models of the case do not answer either.
_OF_SLIDE = frozenset({"focus", "exposure", "colour", "duplicates"})
# The domain gate says nothing of a single cell, so a model that has one does not answer for it.
_LEAST_JUDGED = 2
# A lamp this much brighter or darker than the training cohort's, in any channel, is never evened
# out: it is the strongest change that a gate is fitted on.
_LARGEST_GAIN = 2


def examine_cells(
    name: str,
    model: Model,
    read: ReadCells,
    encoded: Encoded,
    reference: Reference | None,
) -> Examined:
    """Count and judge the cells of one model.

    Args:
        read: of which there is at least one.
        reference: the model's; without one there is no domain gate.

    Raises:
        InputError: a cell changed meanwhile, or the disk fails.
    """
    counts = counts_from_records(encoded.records)
    least = max(model.minimum_cells, _LEAST_JUDGED if reference else 1)
    too_few = reasons_to_abstain(counts, least)
    judged = None
    if reference is not None and not too_few:
        judged = _judged(read, encoded, model, reference)
    finding = judged.finding if judged else None
    cut_out, of_domain = _reasons_of_cut_out(read, model, counts), _reasons_of_domain(judged)
    # A few odd cells tell nothing of the lamp, nor do cells without a slide around them.
    of_lamp = () if too_few or cut_out else _reasons_of_lamp(read, model)
    of_slide = of_domain if finding and finding.family in _OF_SLIDE else ()
    return Examined(
        name=name,
        encoded=encoded,
        counts=counts,
        reasons=(*too_few, *cut_out, *of_lamp, *of_domain),
        of_slide=(*of_lamp, *of_slide),
        finding=finding,
    )


def without_cells(name: str, model: Model) -> Examined:
    """The model of a case that has no cell of its classes."""
    counts = CellCounts(used=0)
    reasons = reasons_to_abstain(counts, model.minimum_cells)
    return Examined(name=name, encoded=None, counts=counts, reasons=reasons)


def with_slide_faults(examined: Sequence[Examined]) -> tuple[Examined, ...]:
    """The same models, each also held by the faults of the slide that another one's cells show."""
    return tuple(replace(one, reasons=(*one.reasons, *_held(one, examined))) for one in examined)


def _held(one: Examined, examined: Sequence[Examined]) -> list[Reason]:
    own = {reason.code for reason in one.reasons}
    held: dict[str, Reason] = {}
    for other in examined:
        for fault in other.of_slide:
            if fault.code not in own:
                text = f"a fault of the slide that the model {other.name} shows: {fault.text}"
                held.setdefault(fault.code, Reason(code=f"slide_{fault.code}", text=text))
    return list(held.values())


def _judged(read: ReadCells, encoded: Encoded, model: Model, reference: Reference) -> Judgement:
    """What the domain gate says, from the cells in the order of their identities."""
    order = sorted(range(len(encoded.identities)), key=encoded.identities.__getitem__)
    by_identity = {cell.record.identity: cell for cell in read.distinct}
    measured = [by_identity[encoded.identities[place].hex()] for place in order[:MEASURED_CELLS]]
    statistics = [
        cell_statistics(read.pixels(cell), cell.background, model.canvas_px) for cell in measured
    ]
    return judge(reference, case_statistics(statistics), encoded.encodings[order])


def _reasons_of_domain(judged: Judgement | None) -> tuple[Reason, ...]:
    if judged is None or not judged.abstains:
        return ()
    code = (judged.finding.family or "unlike_training").replace(" ", "_")
    return (Reason(code=code, text=judged.words),)


def _reasons_of_lamp(read: ReadCells, model: Model) -> tuple[Reason, ...]:
    if model.background is None or not read.distinct:
        return ()
    found = read.background
    if all(_within(a, b) for a, b in zip(found, model.background, strict=True)):
        return ()
    text = (
        f"the bare slide is {_levels(found)} (red, green, blue), while it was "
        f"{_levels(model.background)} in training: check lamp, exposure and white balance"
    )
    return (Reason(code="lamp", text=text),)


def _within(found: int, wanted: int) -> bool:
    return wanted <= found * _LARGEST_GAIN and found <= wanted * _LARGEST_GAIN


def _levels(background: Background) -> str:
    return ", ".join(map(str, background))


def _reasons_of_cut_out(read: ReadCells, model: Model, counts: CellCounts) -> tuple[Reason, ...]:
    """Cells that lie alone on black have no bare slide that they could be normalised by."""
    if model.background is None:
        return ()
    return reason_for_cut_out(sum(cell.alone_on_black for cell in read.distinct), counts)
