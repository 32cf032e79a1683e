"""Compares a bundle's scores with those that the user's own pipeline gave the same patients.

The other comparisons of an export start from the spec. So they cannot show that the spec itself is
wrong: that the classifier was fitted on encodings of another kind, say. This one runs the bundle
from files to scores. Where its scores differ, `export.reference_trials` finds out which step it is.
"""

import csv
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vexas_edge import read_case, score_case
from vexas_edge.bundle.archive import Bundle
from vexas_edge.cells.canvas import Canvas, decoded_cells
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import InputError
from vexas_edge.host.process import default_threads
from vexas_edge.results.values import ModelScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.smear.cohort import CohortCase, read_cohort
from vexas_edge.smear.options import ReadOptions

# What decoding, float32 and libsvm's coupling may add to the draws' own error.
ROUNDING = 0.005
# How many standard errors one patient's scores may lie apart.
_FARTHEST = 5.0
_FEWEST_PATIENTS = 3


@dataclass(frozen=True, kw_only=True)
class ReferenceScore:
    """One line of the user's scores.

    standard_error: of the score, from the draws of the user's pipeline; None if that is not known.
    """

    score: float
    standard_error: float | None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One patient's scores by the bundle and by the user's pipeline.

    error: the standard error of their difference.
    """

    row: CohortCase
    bundle: float
    reference: float
    error: float

    @property
    def difference(self) -> float:
        return self.bundle - self.reference


def read_reference_scores(path: Path, rows: Sequence[CohortCase]) -> dict[str, ReferenceScore]:
    """The user's scores by sample, from a CSV.

    Its columns are `sample` or `patient`, `score` and, if known, `standard_error`. It need not have
    every patient of the cohort.

    Raises:
        InputError: it cannot be read; a column or a number is missing or wrong; or a name is not
            that of one sample of the cohort.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.DictReader(stream, strict=True))
    except OSError as error:
        raise InputError(f"reference scores {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"reference scores {path} are not CSV in UTF-8: {error}") from error
    columns = set(lines[0] if lines else ())
    key = next((name for name in ("sample", "patient") if name in columns), None)
    if key is None or "score" not in columns:
        raise InputError(
            f"{path} lacks the columns sample (or patient) and score, or has no line below them"
        )
    scores: dict[str, ReferenceScore] = {}
    for number, line in enumerate(lines, start=2):
        where = f"{path}, line {number}"
        sample = _sample_named(line[key], key, rows, where)
        if sample in scores:
            raise InputError(f"{where}: {key} {line[key]!r} has a score already")
        scores[sample] = ReferenceScore(
            score=_number(line["score"], "score", 1, where),
            standard_error=_number(line["standard_error"], "standard_error", 1, where)
            if line.get("standard_error")
            else None,
        )
    return scores


def _sample_named(name: str | None, key: str, rows: Sequence[CohortCase], where: str) -> str:
    named = [row.sample for row in rows if getattr(row, key) == (name or "").strip()]
    if len(named) != 1:
        found = "no sample" if not named else f"{len(named)} samples"
        raise InputError(f"{where}: the cohort has {found} of the {key} {name!r}; expected one")
    return named[0]


def _number(text: str | None, column: str, most: float, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not 0 <= value <= most:
        raise InputError(f"{where}: {column} is {text!r}; expected a number from 0 to {most:g}")
    return value


def compare_with_reference(
    bundle: Bundle, name: str, scores: Path, cohort: Path, reading: ReadOptions
) -> tuple[Compared, ...]:
    """The bundle's score of each patient, from files, beside that of the user's pipeline.

    Args:
        name: the model's name.
        scores: the CSV of the user's scores.

    Raises:
        InputError: the cohort or the scores cannot be used, or the model abstains for nearly all.
    """
    rows = read_cohort(cohort)
    wanted = read_reference_scores(scores, rows)
    manifest = bundle.manifest
    model = manifest.models[name]
    alone = replace(
        bundle, manifest=msgspec.structs.replace(manifest, models={name: model}, lead=None)
    )
    found = []
    with Sessions(alone, EngineOptions(engine="onnxruntime", device="cpu"), "fp32") as sessions:
        for row in rows:
            if row.sample not in wanted:
                continue
            with read_case(row.path, reading) as case:
                (score,) = score_case(case, alone, sessions).models
            if score.score is not None:
                fit_draws = model.aggregation.fit_draws
                found.append(_compared(row, score, wanted[row.sample], fit_draws))
    if len(found) < _FEWEST_PATIENTS:
        raise InputError(
            f"model {name!r} scores {len(found)} of the {len(wanted)} patients of {scores}; "
            f"comparing needs at least {_FEWEST_PATIENTS}"
        )
    return tuple(found)


def _compared(
    row: CohortCase, score: ModelScore, reference: ReferenceScore, fit_draws: int
) -> Compared:
    assert score.score is not None
    assert score.standard_error is not None
    assert score.n_draws is not None
    theirs = reference.standard_error
    if theirs is None:  # then as if of as many draws as each patient had when it was fitted
        theirs = score.standard_error * (score.n_draws / fit_draws) ** 0.5
    return Compared(
        row=row,
        bundle=score.score,
        reference=reference.score,
        error=float(np.hypot(score.standard_error, theirs)),
    )


def agree(compared: Sequence[Compared]) -> bool:
    """Whether the differences are no larger than the draws' own noise and rounding explain."""
    errors = np.hypot([c.error for c in compared], ROUNDING)
    in_errors = np.array([c.difference for c in compared]) / errors
    # The mean of n squares has a standard deviation of sqrt(2 / n) if noise alone is in them.
    most = 1 + 4 * np.sqrt(2 / len(compared))
    return bool(np.mean(in_errors**2) <= most and np.abs(in_errors).max() <= _FARTHEST)


def mean_difference(compared: Sequence[Compared]) -> float:
    """The mean absolute difference of the scores."""
    return float(np.mean([abs(c.difference) for c in compared]))


def figures(compared: Sequence[Compared], threshold: float) -> dict[str, Any]:
    """What the manifest says of a comparison.

    `calls_apart` counts patients whose calls differ although the threshold lies over three standard
    errors of the difference from one of both scores.
    """
    apart = [
        c
        for c in compared
        if (c.bundle >= threshold) != (c.reference >= threshold)
        and max(abs(c.bundle - threshold), abs(c.reference - threshold)) > 3 * c.error
    ]
    return {
        "patients": len(compared),
        "mean_difference": round(mean_difference(compared), 6),
        "largest_difference": round(max(abs(c.difference) for c in compared), 6),
        "standard_error_of_a_difference": round(float(np.mean([c.error for c in compared])), 6),
        "calls_apart": len(apart),
    }


def distinct_cells(
    row: CohortCase, classes: Collection[str], canvas: Canvas, reading: ReadOptions
) -> dict[bytes, np.ndarray]:
    """A patient's distinct cells of these classes by identity, uint8 (H, W, 3), on the canvas."""
    with (
        read_case(row.path, reading) as case,
        closing(decoded_cells(case, classes, canvas, threads=default_threads())) as decoded,
    ):
        return {cell.identity: cell.pixels for cell in decoded if cell.pixels is not None}
