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

from vexas_edge.bundle.archive import Bundle
from vexas_edge.cells.background import Background, middle_background
from vexas_edge.cells.canvas import (
    Canvas,
    canvas_of_case,
    decoded_cells,
    measured_background,
)
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import InputError
from vexas_edge.host.process import default_threads
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.score import score_past_the_gate
from vexas_edge.smear.cohort import CohortCase, read_cohort, read_row
from vexas_edge.smear.options import ReadOptions

# What decoding, float32 and libsvm's coupling may add to the draws' own error.
ROUNDING = 0.005
# With a larger error of a difference than this, scores agree that have nothing in common.
_LARGEST_ERROR = 0.03
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

    bundle_error: the standard error of the bundle's score, from its draws.
    reference_error: that of the user's; None if it is not known.
    more_draws: how many times as many draws the bundle's score has; the user's are then taken for
        as many as each patient had when the classifier was fitted.
    """

    row: CohortCase
    bundle: float
    bundle_error: float
    reference: float
    reference_error: float | None
    more_draws: float

    @property
    def standard_error(self) -> float:
        """Of the difference."""
        theirs = self.reference_error
        if theirs is None:
            theirs = self.bundle_error * self.more_draws**0.5
        return float(np.hypot(self.bundle_error, theirs))

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
    alone, model = _of_one_model(bundle, name), bundle.manifest.models[name]
    found = []
    with Sessions(alone, EngineOptions(engine="onnxruntime", device="cpu"), "fp32") as sessions:
        for row in rows:
            if row.sample not in wanted:
                continue
            with read_row(row, reading) as case:
                (score,) = score_past_the_gate(case, alone, sessions).models
            if score.score is None or score.standard_error is None or score.n_draws is None:
                continue  # it abstains
            reference = wanted[row.sample]
            found.append(
                Compared(
                    row=row,
                    bundle=score.score,
                    bundle_error=score.standard_error,
                    reference=reference.score,
                    reference_error=reference.standard_error,
                    more_draws=score.n_draws / model.medians.fit_draws,
                )
            )
    _check_telling(found, len(wanted), name, scores)
    return tuple(found)


def _of_one_model(bundle: Bundle, name: str) -> Bundle:
    manifest, models = bundle.manifest, {name: bundle.manifest.models[name]}
    return replace(bundle, manifest=msgspec.structs.replace(manifest, models=models, lead=None))


def _check_telling(found: Sequence[Compared], n_wanted: int, name: str, scores: Path) -> None:
    """Check that the comparison can show something.

    Raises:
        InputError: too few patients are scored, or their scores are too uncertain.
    """
    if len(found) < max(_FEWEST_PATIENTS, n_wanted / 2):
        raise InputError(
            f"model {name!r} scores {len(found)} of the {n_wanted} patients of {scores} and "
            f"abstains for the others; comparing needs {_FEWEST_PATIENTS}, and half of them"
        )
    error = float(np.mean([c.standard_error for c in found]))
    if error > _LARGEST_ERROR:
        raise InputError(
            f"the scores in {scores} are too uncertain to be compared: the standard error of a "
            f"difference is {error:.3f} in the mean; expected at most {_LARGEST_ERROR}, the error "
            "of a mean over 100 draws or more, and not their spread"
        )


def agree(compared: Sequence[Compared]) -> bool:
    """Whether the differences are no larger than the draws' own noise and rounding explain.

    That is asked of each patient, of the mean square of all differences in standard errors, and of
    their mean, since a shift of everybody may be too small to be seen in anybody.
    """
    n = len(compared)
    differences = np.array([c.difference for c in compared])
    errors = np.hypot([c.standard_error for c in compared], ROUNDING)
    in_errors = differences / errors
    # The mean of n squares has a standard deviation of sqrt(2 / n) if noise alone is in them.
    alike = np.mean(in_errors**2) <= 1 + 4 * np.sqrt(2 / n)
    of_mean = float(np.sqrt(np.mean(errors**2) / n))
    shifted = abs(differences.mean()) > ROUNDING + _FARTHEST * of_mean
    return bool(alike and not shifted and np.abs(in_errors).max() <= _FARTHEST)


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
        and max(abs(c.bundle - threshold), abs(c.reference - threshold)) > 3 * c.standard_error
    ]
    error = float(np.mean([c.standard_error for c in compared]))
    return {
        "patients": len(compared),
        "mean_difference": round(mean_difference(compared), 6),
        "largest_difference": round(max(abs(c.difference) for c in compared), 6),
        "standard_error_of_a_difference": round(error, 6),
        "calls_apart": len(apart),
    }


@dataclass(frozen=True, kw_only=True)
class PatientImages:
    """The images of patients, as one model's trials need them.

    classes: of the model's cells.
    canvas: the model's.
    """

    classes: Collection[str]
    canvas: Canvas
    reading: ReadOptions

    def cells(self, row: CohortCase, background: Background | None) -> dict[bytes, np.ndarray]:
        """A patient's distinct cells by identity, uint8 (H, W, 3), not on a canvas yet.

        Args:
            background: the bare slide that they are brought to; None leaves them as they are.
        """
        uncut = replace(self.canvas, canvas_px=None, background=background)
        threads = default_threads()
        with read_row(row, self.reading) as case:
            canvas = canvas_of_case(case, self.classes, uncut, threads=threads)
            with closing(decoded_cells(case, self.classes, canvas, threads=threads)) as decoded:
                return {cell.identity: cell.pixels for cell in decoded if cell.pixels is not None}

    def slide(self, rows: Collection[CohortCase]) -> Background:
        """The bare slide of these patients, at least one of whom has a cell that can be read."""
        found = []
        for row in rows:
            with read_row(row, self.reading) as case:
                found.append(measured_background(case, self.classes, threads=default_threads()))
        return middle_background([background for background in found if background is not None])
