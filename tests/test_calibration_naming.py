"""Cheaper graphs of a model that names cells: judged by what they call each cell."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import Ended
from tiny_types import CLASS_OF_TINT, types_bundle, write_tinted

from calibration.gate.figures import distance_of
from calibration.gate.naming import NamingResult, naming_failures
from vexas_edge import open_bundle
from vexas_edge.bundle.budgets import Budget

Command = Callable[..., Ended]
BUDGET = Budget(cosine_p1=0.99)


def result(**other: object) -> NamingResult:
    figures = {
        "n_cells": 200,
        "n_patients": 5,
        "cosine_p1": 0.999,
        "cosine_min": 0.99,
        "recall": {"monocyte": 0.9},
        "recall_reference": {"monocyte": 0.92},
        "renamed": 4,
    }
    return NamingResult(**{**figures, **other})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"recall": {"monocyte": 0.85}}, "recall of monocyte falls from 0.920 to 0.850"),
        ({"recall": {}}, "recall of monocyte falls from 0.920 to 0.000"),
        ({"renamed": 7}, "7 of 200 cells get another name (at most 3.0%)"),
        ({"cosine_p1": 0.9}, "cosine of encodings 0.90000"),
        ({"cosine_p1": float("nan")}, "cosine of encodings nan"),
        ({"n_patients": 2}, "only 2 patients"),
        ({"largest_activation": 7e4}, "largest activation 70000"),
        ({"calibration_distance": 0.5}, "calibration's cells look unlike the gate's"),
    ],
)
def test_each_figure_over_its_budget_is_named(other: dict[str, object], message: str) -> None:
    assert naming_failures(result(), BUDGET) == []
    (found,) = naming_failures(result(**other), BUDGET)
    assert message in found


def write_signed(folder: Path, n_patients: int = 8) -> Path:
    """A cohort whose cells lie in folders of their classes; half of it for each split."""
    lines = ["patient,sample,path,label,split"]
    for patient in range(n_patients):
        for tint, name in enumerate(CLASS_OF_TINT):
            write_tinted(folder / f"S{patient}" / name, 8, seed=3 * patient + tint, tint=tint)
        split = "fit" if patient < n_patients // 2 else "judge"
        lines.append(f"P{patient},S{patient},S{patient},any,{split}")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.csv"


def test_a_model_that_names_cells_gets_integers_and_scores_with_them(
    vexas_workshop: Command, vexas_edge: Command, tmp_path: Path
) -> None:
    bundle, cohort = types_bundle(tmp_path), write_signed(tmp_path / "cohort")
    ended = vexas_workshop(
        *("calibrate", "int8", bundle, "--cohort", cohort, "--only", "int8-rr"),
        *("--samples", "64", "-o", tmp_path / "cheap.vxb"),
    )
    assert ended.status == 0, ended.err
    assert "get another name, recall falls most for" in ended.out
    entry = open_bundle(tmp_path / "cheap.vxb").manifest.typing["leukocyte"]
    cheap = entry.files["fused.int8-rr.onnx"]
    assert cheap.tested
    assert set(cheap.measured["gate"]["recall"]) == set(CLASS_OF_TINT)
    assert cheap.encoder not in (None, entry.files["fused.fp32.onnx"].encoder)
    write_tinted(tmp_path / "P1", 30, seed=99)
    scored = vexas_edge("score", tmp_path / "P1", "--bundle", tmp_path / "cheap.vxb")
    assert scored.status == 0, scored.err
    assert "lymphocyte" in scored.out
    compared = vexas_workshop("calibrate", "compare", bundle, "--cohort", cohort)
    assert compared.status == 2
    assert "scores no patients" in compared.err


def test_the_distance_of_equal_cells_is_nothing() -> None:
    cells = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    assert distance_of(cells, cells) == 0.0
