"""The example's results, as a table for people and as plain values for report.json."""

from collections.abc import Sequence
from dataclasses import dataclass

from calibration.gate.separation import Separation
from training.patients.covariates import CovariateAlone

_COLUMNS = "{:<56}{:>8}{:>9}   {}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """All figures of one run.

    cohort_split, balanced_accuracy: of the cohort's own split, by an exported bundle.
    out_of_fold: of all patients in folds, by exported bundles.
    repeats: ROC-AUC of further 60/40 splits, by scikit-learn in this process.
    covariates: each covariate of the cohort alone.
    """

    positive: str
    threshold: float
    n_support_vectors: int
    cohort_split: Separation
    balanced_accuracy: float
    n_folds: int
    out_of_fold: Separation
    out_of_fold_scores: dict[str, float]
    repeats: tuple[float, ...]
    covariates: tuple[CovariateAlone, ...]


def text_from_report(report: Report) -> str:
    """The table, and sentences that say what the covariates mean for it."""
    further = ", ".join(f"{auc:.3f}" for auc in report.repeats)
    lines = [
        _COLUMNS.format(f"{report.positive} or not", "patients", "ROC-AUC", "95 % interval"),
        _line("the cohort's own split, by vexas-edge score", report.cohort_split),
        f"    balanced accuracy at threshold {report.threshold:g}: {report.balanced_accuracy:.3f}",
        _line(f"{report.n_folds} folds pooled, by vexas-edge score", report.out_of_fold),
        f"further 60/40 splits, by scikit-learn on 100 draws: {further or 'none asked for'}",
        "each covariate alone, no image and no model:",
        *(_line(f"    {c.name} ({c.direction})", c.separation) for c in report.covariates),
        "",
        "Intervals: patients resampled within their group; no classifier is fitted again.",
        *_what_covariates_say(report.covariates),
    ]
    return "\n".join(lines)


def _line(name: str, found: Separation) -> str:
    interval = f"{found.low:.3f} to {found.high:.3f}"
    return _COLUMNS.format(name, found.n, f"{found.roc_auc:.3f}", interval)


def _what_covariates_say(covariates: Sequence[CovariateAlone]) -> list[str]:
    """Lines that compare the model with covariates that separate the groups, if there are any."""
    separating = [c for c in covariates if c.separation.low > 0.5]
    if not separating:
        return []
    lines = [
        f"Without any image, {_joined([c.name for c in separating])}",
        "separate the groups too, so the image score's figure shows no added value by itself.",
        "ROC-AUC of the covariate minus that of the pooled image score:",
    ]
    for c in separating:
        interval = f"{c.lead_low:+.3f} to {c.lead_high:+.3f}"
        lines.append(f"    {c.name}: {c.lead:+.3f} ({interval})")
    return lines


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
