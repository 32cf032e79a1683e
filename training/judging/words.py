"""Figures of several kinds of scores as lines, for the console and the model card."""

from collections.abc import Sequence

from training.judging.beside import Beside
from training.judging.comparison import Bounded, OverHalvings, SideBySide
from training.judging.intervals import text_of_mean, text_of_share
from training.judging.joining import BOTH, COVARIATES, IMAGE

KIND_WORDS = {
    COVARIATES: "covariates alone",
    IMAGE: "image alone",
    BOTH: "image and covariates",
}


def lines_from_beside(found: Beside) -> list[str]:
    """All tables, and what is to be warned of."""
    lines = [f"warning: {text}" for text in found.warnings]
    lines += lines_from_side_by_side(found.nested)
    return lines + (lines_from_halvings(found.halvings) if found.halvings else [])


def lines_from_side_by_side(found: SideBySide) -> list[str]:
    """A table of the kinds, and one of their differences."""
    head = ("by patient", "ROC-AUC", "balanced accuracy", "sensitivity", "specificity", "Brier")
    rows = [
        (
            KIND_WORDS[kind.kind],
            f"{kind.separation.roc_auc:.3f} ({kind.separation.low:.3f} to "
            f"{kind.separation.high:.3f})",
            text_of_bounded(kind.balanced_accuracy),
            text_of_share(kind.sensitivity),
            text_of_share(kind.specificity),
            f"{kind.brier:.3f}",
        )
        for kind in found.kinds
    ]
    lines = [f"{found.how}; thresholds chosen on the patients to fit on:", *aligned([head, *rows])]
    pairs = [
        (
            f"{KIND_WORDS[pair.first]} less {KIND_WORDS[pair.second]}",
            text_of_bounded(pair.roc_auc, signed=True),
            text_of_bounded(pair.balanced_accuracy, signed=True),
        )
        for pair in found.differences
    ]
    if pairs:
        lines += aligned([("paired difference", "ROC-AUC", "balanced accuracy"), *pairs])
    return lines


def lines_from_halvings(found: Sequence[OverHalvings]) -> list[str]:
    """A table of the kinds, as means over halvings."""
    rows = [
        (KIND_WORDS[one.kind], text_of_mean(one.roc_auc), text_of_mean(one.balanced_accuracy))
        for one in found
    ]
    head = ("mean of ten halvings", "ROC-AUC", "balanced accuracy")
    return aligned([head, *rows])


def text_of_bounded(value: Bounded, *, signed: bool = False) -> str:
    """The value as text, such as `0.941 (0.894 to 0.977)`."""
    sign = "+" if signed else ""
    return f"{value.value:{sign}.3f} ({value.low:{sign}.3f} to {value.high:{sign}.3f})"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table as lines, with each column as wide as its longest word."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
