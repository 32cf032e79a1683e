"""The tables of a results folder, cases.csv and cells.csv: their columns and rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from vexas_edge.results.answers import answer_kind
from vexas_edge.results.values import CaseScore, ModelScore

Row = dict[str, Any]

CASE_COLUMNS = (
    "case",
    "state",
    "answer",
    "status",
    "model",
    "score",
    "interval_low",
    "interval_high",
    "call",
    "call_uncertain",
    "threshold",
    "cells_alone",
    "covariates",
    "n_cells",
    "n_typed",
    "typing_unjudged",
    "n_unreadable",
    "n_rejected",
    "reasons",
    "family",
    "standard_error",
    "draws_low",
    "draws_high",
    "share_over_threshold",
    "case_status",
    "case_call",
    "error",
    "flags",
    "missing_gate",
    "bundle",
    "bundle_sha256",
    "types_sha256",
    "site",
    "vexas_edge",
    "started",
    "file",
    "notice",
)
CELL_COLUMNS = (
    "case",
    "file",
    "model",
    "cell",
    "class",
    "status",
    "reason",
    "remarks",
    "identity",
    "sha256",
    "named_by",
    "predicted_class",
    "probability",
)
# What a reader must not see of a result that is held.
_ANSWER = (
    *("score", "interval_low", "interval_high", "call", "call_uncertain", "cells_alone"),
    *("standard_error", "draws_low", "draws_high", "share_over_threshold", "case_call"),
)


def case_rows(score: CaseScore, file: str) -> list[Row]:
    """The result's rows of cases.csv: one per model, or one in all if the case failed.

    State and flags depend on the other results: `shown_row` adds them.

    Args:
        file: the result's, as a path in the results folder.
    """
    bundle = score.bundle
    shared = {
        "case": score.case,
        "answer": answer_kind(score),
        "case_status": score.status,
        "case_call": score.call,
        "error": score.error,
        "missing_gate": score.missing_gate,
        "bundle": f"{bundle.name} {bundle.version}" if bundle else None,
        "bundle_sha256": bundle.sha256 if bundle else None,
        "types_sha256": score.types.sha256 if score.types else None,
        "site": score.site.sha256 if score.site else None,
        "vexas_edge": score.run.vexas_edge if score.run else None,
        "started": score.run.started if score.run else None,
        "file": file,
        "notice": score.notice,
    }
    models = [_model_columns(model) for model in score.models] or [{"status": score.status}]
    return [_given({**shared, **columns}) for columns in models]


def shown_row(row: Mapping[str, Any], state: str, flags: Sequence[str], *, withheld: bool) -> Row:
    """A row of cases.csv as it is shown; without an answer where that is withheld."""
    shown = dict(row)
    if withheld:
        shown = {name: value for name, value in row.items() if name not in _ANSWER}
        shown |= {"answer": "held", "reasons": "held"}
        shown |= {"status": "abstained", "case_status": "abstained"}
    return {**shown, "state": state, "flags": ";".join(flags)}


def _model_columns(model: ModelScore) -> Row:
    columns = {name: getattr(model, name, None) for name in CASE_COLUMNS}
    texts = {
        "reasons": ";".join(model.reasons),
        "family": model.domain.family if model.domain else None,
        "covariates": ";".join(f"{c.name}={c.given}" for c in model.covariates) or None,
    }
    return _given({**columns, **texts})


def _given(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def cell_rows(score: CaseScore, file: str) -> list[Row]:
    """The result's rows of cells.csv: one per model and cell that it looked at.

    Those that nobody had named have a row by the models that were asked for their names, too; so
    have those that no model scores, where they were asked of all.
    """
    seen = [(model.model, model.cells) for model in score.models]
    seen += [("+".join(score.typing.models), score.typed_cells)] if score.typing else []
    seen += [("+".join(score.retyping.models), score.bystanders)] if score.retyping else []
    return [
        {
            "case": score.case,
            "file": file,
            "model": model,
            "cell": cell.path,
            "class": cell.cell_class,
            "status": cell.status,
            "reason": cell.reason,
            "remarks": ";".join(cell.remarks),
            "identity": cell.identity,
            "sha256": cell.sha256,
            "named_by": cell.named_by,
            "predicted_class": cell.predicted_class,
            "probability": cell.probability,
        }
        for model, cells in seen
        for cell in cells
    ]
