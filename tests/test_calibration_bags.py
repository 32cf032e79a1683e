"""Bundles of bags get cheaper graphs as those of medians do."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_calibration_command import LENIENT, Calibration
from test_calibration_command import calibration as calibration
from test_calibration_command import cohort as cohort
from tiny import rewritten, there
from tiny_bag import BagKind, bag_bundle

from calibration.cosines import cosines
from export.bags.aggregation import AggregationOptions
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.budgets import Budgets
from vexas_edge.results.values import ModelScore
from vexas_edge.runtime.session import Sessions

LEARNED = AggregationOptions(method="learned")
KINDS = {"cells": LEARNED, "positions": replace(LEARNED, level="position")}


def with_ages(cohort: Path, to: Path) -> Path:
    """The cohort with an age for each patient, whose folders stay where they are."""
    header, *rows = cohort.read_text().splitlines()
    fields = [row.split(",") for row in rows]
    lines = [
        ",".join([patient, sample, str(cohort.parent / path), label, split, str(50 + number)])
        for number, (patient, sample, path, label, split) in enumerate(fields)
    ]
    to.write_text("\n".join([f"{header},age_years", *lines]) + "\n")
    return to


def lenient_bundle(folder: Path, kind: BagKind) -> Path:
    budgets = Budgets(fp16=LENIENT, int8=LENIENT, int8_rr=LENIENT, int8_trt=LENIENT)
    return rewritten(bag_bundle(folder, kind), folder / "b.vxb", budgets=budgets)


@pytest.mark.parametrize("level", KINDS)
def test_a_bag_is_calibrated_and_scores_in_integers(
    level: str, cohort: Path, calibration: Calibration, tmp_path: Path
) -> None:
    kind = BagKind(weighting=KINDS[level], classes=("MDS", "VEXAS"))
    bundle = lenient_bundle(tmp_path / "bag", kind)
    given = with_ages(cohort, tmp_path / "cohort.csv")
    out = tmp_path / "c.vxb"
    ended = calibration("int8", bundle, "--cohort", given, "-o", out)
    assert ended.status == 0, ended.err
    calibrated = open_bundle(out)
    files = calibrated.manifest.models["neutrophil"].files
    assert files["fused.int8-rr.onnx"].tested  # int8 is judged where the CPU has VNNI
    tested = [file.measured for name, file in files.items() if "int8" in name and file.tested]
    with given.open() as lines:
        (age,) = (row["age_years"] for row in csv.DictReader(lines) if row["sample"] == "S7")
    found: dict[str, ModelScore] = {}
    for precision in ("fp32", "int8"):
        with (
            Sessions(calibrated, precision=precision) as sessions,
            read_case(cohort.parent / "S7") as case,
        ):
            (found[precision],) = score_case(
                case, calibrated, sessions, covariates={"age_years": age}
            ).models
    exact, rounded = (there(found[precision].score) for precision in ("fp32", "int8"))
    # Random weights behind a random encoder enlarge its rounding; the gate measured by how much.
    measured = max(file["gate"]["score_drift_max"] for file in tested)
    assert 0 < abs(exact - rounded) <= measured + 1e-6


def test_a_gate_needs_the_covariates_that_the_bag_takes(
    cohort: Path, calibration: Calibration, tmp_path: Path
) -> None:
    bundle = lenient_bundle(tmp_path / "bag", BagKind(classes=("MDS", "VEXAS")))
    ended = calibration("int8", bundle, "--cohort", cohort, "-o", tmp_path / "c.vxb")
    assert ended.status == 5
    assert "gives no score without age_years, and the cohort has no column" in ended.err
    assert not (tmp_path / "c.vxb").exists()


def test_encodings_that_are_not_normalised_are_compared_by_their_direction() -> None:
    rng = np.random.default_rng(0)
    encodings = rng.normal(0, 40, (6, 8)).astype(np.float32)
    assert cosines(encodings, 3 * encodings) == pytest.approx(1)
    turned = encodings.copy()
    turned[0] = -turned[0]
    assert cosines(encodings, turned)[0] == pytest.approx(-1)
