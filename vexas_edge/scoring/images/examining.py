"""What is seen of a model's images, and whether it may answer, before its classifier is asked.

Everything here is the same for two bundles that differ only in their classifier. So a model that
abstains tells nothing of the score that it would have given: its head is never run, and what the
fused graph computes beside the encodings is not looked at.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.models import Images, Model
from vexas_edge.cells.background import Background
from vexas_edge.covariates.taken import average_covariates
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
from vexas_edge.scoring.images.reading import ReadCells

# Families of changes that lie with the whole slide: where one model's cells show such a fault, the
# other models of the case do not answer either.
_OF_SLIDE = frozenset({"focus", "exposure", "colour", "duplicates"})
# The domain gate says nothing of a single cell, so a model that has one does not answer for it.
_LEAST_JUDGED = 2
# A lamp this much brighter or darker than the training cohort's, in any channel, is never evened
# out: it is the strongest change that a gate is fitted on.
_LARGEST_GAIN = 2


def count_cells(
    name: str, model: Model, read: ReadCells, encoded: Encoded, reference: Reference | None
) -> Examined:
    """What is seen of one model's cells before its domain gate judges them.

    Args:
        read: of which there is at least one.
        reference: the model's; without one there is no domain gate.

    Raises:
        InputError: a cell changed meanwhile, or the disk fails.
    """
    counts = counts_from_records(encoded.records)
    least = max(model.minimum_cells, _LEAST_JUDGED if reference else 1)
    too_few = reasons_to_abstain(counts, least)
    cut_out = _reasons_of_cut_out(read, model.images, counts)
    # A few odd cells tell nothing of the lamp, nor do cells without a slide around them.
    of_lamp = () if too_few or cut_out else _reasons_of_lamp(read, model.images)
    return Examined(
        name=name,
        encoded=encoded,
        counts=counts,
        reasons=(*too_few, *cut_out, *of_lamp),
        of_slide=of_lamp,
        statistics=_statistics(read, encoded, model) if reference and not too_few else None,
        covariates=average_covariates(model.covariates),
    )


def _statistics(read: ReadCells, encoded: Encoded, model: Model) -> NDArray[np.float64]:
    """The statistics of the case, from the cells with the smallest identities."""
    by_identity = {cell.record.identity: cell for cell in read.distinct}
    order = encoded.by_identity[:MEASURED_CELLS]
    measured = [by_identity[encoded.identities[place].hex()] for place in order]
    return case_statistics(
        [
            cell_statistics(read.pixels(cell), cell.background, model.images.canvas_px)
            for cell in measured
        ]
    )


def _reasons_of_lamp(read: ReadCells, model: Images) -> tuple[Reason, ...]:
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


def _reasons_of_cut_out(read: ReadCells, model: Images, counts: CellCounts) -> tuple[Reason, ...]:
    """Cells that lie alone on black have no bare slide that they could be normalised by."""
    if model.background is None:
        return ()
    return reason_for_cut_out(sum(cell.alone_on_black for cell in read.distinct), counts)


def judged_cells(
    counted: Examined, reference: Reference | None, centre: NDArray[np.float64] | None = None
) -> Examined:
    """The same model with what its domain gate says beside the other reasons.

    Args:
        counted: as `count_cells` gives it.
        reference: the model's.
        centre: of the site's encodings, as `judge` has it.
    """
    if reference is None or counted.statistics is None or counted.encoded is None:
        return counted
    encodings = counted.encoded.encodings[counted.encoded.by_identity]
    judged = judge(reference, counted.statistics, encodings, centre)
    of_domain = _reasons_of_domain(judged)
    of_slide = of_domain if judged.finding.family in _OF_SLIDE else ()
    return replace(
        counted,
        reasons=(*counted.reasons, *of_domain),
        of_slide=(*counted.of_slide, *of_slide),
        finding=judged.finding,
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


def _reasons_of_domain(judged: Judgement) -> tuple[Reason, ...]:
    if not judged.abstains:
        return ()
    code = (judged.finding.family or "unlike_training").replace(" ", "_")
    return (Reason(code=code, text=judged.words),)
