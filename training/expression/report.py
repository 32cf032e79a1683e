"""The figures of models of cells' genes, as JSON and as tables for the console."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from training.expression.calls import Calls
from training.expression.judging import ExpressionFigures, JudgedExpression
from training.expression.zero_shot import ZeroShotRow
from vexas_edge.files import write_atomically

EXPRESSION_FILE = "expression.json"


@dataclass(frozen=True, kw_only=True)
class ExpressionReport:
    """All that was found.

    how: the folds, in words.
    judged: each model and baseline by its name, on the same folds.
    cases: the model on whole samples, by the mean over their cells, where it learnt from cells and
        each sample has one label.
    zero_shot: each lineage of each patient, by what other lineages taught.
    """

    title: str
    how: str
    judged: Mapping[str, JudgedExpression] = field(default_factory=dict)
    cases: Mapping[str, JudgedExpression] = field(default_factory=dict)
    zero_shot: tuple[ZeroShotRow, ...] = ()


def write_expression(report: ExpressionReport, folder: Path) -> None:
    """Write `expression.json` to the folder, whole or not at all.

    Raises:
        HostError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(report), indent=2)
    write_atomically(folder / EXPRESSION_FILE, text + b"\n")


def lines_from_expression(report: ExpressionReport) -> list[str]:
    """One table a question: all, each patient, each lineage, each class, and lineages unlearnt."""
    lines = [f"{report.title}, {report.how}"]
    if report.judged:
        overall = {name: one.overall for name, one in report.judged.items()}
        lines += ["", *_table(("", "n", "accuracy", "balanced", "ROC-AUC"), _figures(overall))]
        lines += _balanced_by("patient", {n: one.by_patient for n, one in report.judged.items()})
        lines += _balanced_by("lineage", {n: one.by_lineage for n, one in report.judged.items()})
        recall = {name: one.recall for name, one in report.judged.items()}
        lines += _by("share that is found of class", recall)
    if report.cases:
        overall = {name: one.overall for name, one in report.cases.items()}
        header = ("whole samples", "n", "accuracy", "balanced", "ROC-AUC")
        lines += ["", *_table(header, _figures(overall))]
    if report.zero_shot:
        lines += ["", *_lines_of_zero_shot(report.zero_shot)]
    return lines


def _figures(by_name: Mapping[str, ExpressionFigures]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            str(one.n),
            _with_interval(one.accuracy, one, "accuracy"),
            _with_interval(one.balanced_accuracy, one, "balanced_accuracy"),
            _with_interval(one.roc_auc, one, "roc_auc"),
        )
        for name, one in by_name.items()
    ]


def _with_interval(value: float | None, figures: ExpressionFigures, name: str) -> str:
    if value is None:
        return "-"
    if name not in figures.intervals:
        return f"{value:.3f}"
    low, high = figures.intervals[name]
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


# Of more patients, the table of each is left out; expression.json has it.
_MOST_COLUMNS = 12


def _balanced_by(what: str, found: Mapping[str, Mapping[str, ExpressionFigures]]) -> list[str]:
    values = {
        name: {key: one.balanced_accuracy for key, one in each.items()}
        for name, each in found.items()
    }
    return _by(f"balanced accuracy by {what}", values)


def _by(title: str, found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A row for each key, a column for each model."""
    keys = list(dict.fromkeys(key for each in found.values() for key in each))
    if not 1 < len(keys) <= _MOST_COLUMNS:
        return []
    rows = [
        (key, *(f"{each[key]:.3f}" if key in each else "-" for each in found.values()))
        for key in keys
    ]
    return ["", *_table((title, *found), rows)]


def _lines_of_zero_shot(rows: Sequence[ZeroShotRow]) -> list[str]:
    header = (
        *("lineage", "patient", "ROC-AUC", "one gene", "positive", "n", "as learnt"),
        *("recalibrated", "by share", "regression", "all positive", "one gene", "its recalibrated"),
        "seems mixed",
    )
    table = [
        (
            *(row.lineage, row.patient, f"{row.roc_auc:.3f}", f"{row.gene} {row.gene_auc:.3f}"),
            *(f"{share:.0%}", str(one.n), _calls(one.learnt), _calls(one.recalibrated)),
            *(_calls(one.by_share), _calls(one.linear)),
            *(_calls(one.positive), _calls(one.one_gene), _calls(one.one_gene_recalibrated)),
            f"{one.linear_mixed:.0%}",
        )
        for row in rows
        for share, one in row.shares.items()
    ]
    said = "balanced accuracy, and F1 of the positive label, in the mean over draws:"
    return [said, "", *_table(header, table)]


def _calls(calls: Calls) -> str:
    f1 = "-" if calls.f1 is None else f"{calls.f1:.2f}"
    return f"{calls.balanced_accuracy:.2f} {f1}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of text, the first to the left."""
    every = [header, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(header))]
    return [
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    ]
