"""What is seen of a model's cells in a table, and whether it may answer at all."""

from dataclasses import replace

from vexas_edge.bundle.models import Model, Vectors
from vexas_edge.results.grounds import MissingFeatures
from vexas_edge.scoring.abstention import Reason, counts_from_records, reasons_to_abstain
from vexas_edge.scoring.encoded import Encoded, Examined
from vexas_edge.scoring.vectors.reading import ReadRows
from vexas_edge.text import listed
from vexas_edge.typing.familiar import LEAST_CELLS, Familiar

_NAMED = 5


def examined_rows(
    name: str, model: Model, read: ReadRows, encoded: Encoded, familiar: Familiar | None
) -> Examined:
    """One model's cells of a table, counted, and held against those that it was fitted on.

    Args:
        familiar: what it was fitted on; without it, any cells are taken.
    """
    counts = counts_from_records(encoded.records)
    least = max(model.minimum_cells, LEAST_CELLS if familiar else 1)
    missing = _missing(read, model.vectors)
    is_lacking = missing is not None and missing.share > missing.allowed
    # Cells without a number are then no fault of their own.
    too_few = () if is_lacking else reasons_to_abstain(counts, least)
    strangeness = None
    if familiar and not too_few and not is_lacking:
        strangeness = familiar.strangeness(encoded.encodings[encoded.by_identity])
    examined = Examined(
        name=name,
        encoded=encoded,
        counts=counts,
        reasons=(*_reasons_of_missing(missing, read.matched.hint), *too_few),
        missing=missing,
        strangeness=strangeness,
    )
    if strangeness is None or not strangeness.is_strange:
        return examined
    text = (
        "the cells look unlike those that the model was fitted on (median distance "
        f"{strangeness.distance:.2f}, at most {strangeness.farthest:.2f}): check that the numbers "
        "are of such cells, and were made in the same way"
    )
    reason = Reason(code="unlike_training", text=text)
    return replace(examined, reasons=(*examined.reasons, reason))


def _missing(read: ReadRows, vectors: Vectors) -> MissingFeatures | None:
    names = read.matched.missing
    if not names:
        return None
    return MissingFeatures(
        number=len(names),
        share=len(names) / vectors.n_features,
        allowed=vectors.missing_share,
        examples=names[:_NAMED],
    )


def _reasons_of_missing(missing: MissingFeatures | None, hint: str) -> tuple[Reason, ...]:
    if missing is None or missing.share <= missing.allowed:
        return ()
    found, allowed = (f"{s:.1%}".replace("%", " %") for s in (missing.share, missing.allowed))
    why = f"; {hint}" if hint else ""
    text = (
        f"{missing.number} of the model's features ({found}) are not in the table, such as "
        f"{listed(missing.examples)}; {allowed} may be missing{why}"
    )
    return (Reason(code="missing_features", text=text),)
