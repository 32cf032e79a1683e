"""From labelled tables to the parts of a bundle, and what the bundle says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from export import write_bundle
from export.bags.bag_file import load_bag
from export.spec import spec_from_file
from training.drawn.expression import DrawnExpression, drawn_expression, write_drawn_patients
from training.expression.bundling import BundleOptions, for_positive
from training.expression.cells import ExpressionCells, expression_cells
from training.expression.learning import ExpressionLearning
from training.expression.options import ExpressionOptions
from training.expression.run import ExpressionRun, learnt_from_tables
from training.expression.zero_shot import ZeroShotOptions, judge_zero_shot
from vexas_edge.bundle.archive import open_bundle
from vexas_edge.cells.vectors.cases import find_tables, read_table
from vexas_edge.errors import InputError, VexasEdgeError
from vexas_edge.scoring.score import score_case
from vexas_edge.typing.familiar import familiar_from_bytes

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = ExpressionOptions(hidden=16, pretrain_epochs=2, epochs=6, batch_size=32, anchors=40)
BUNDLE = BundleOptions(positive="ill", names="symbol", counts=True)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    wanted = DrawnExpression(patients=12, cells=24, strength=1.5)
    write_drawn_patients(drawn_expression(wanted), folder)
    return folder


@pytest.fixture(scope="module")
def cells(drawn: Path) -> ExpressionCells:
    tables = [found.path for found in find_tables(drawn / "tables")]
    return expression_cells(tables, drawn / "cells.csv", lambda _: None)


@pytest.mark.parametrize(
    "options",
    [
        QUICK,
        replace(QUICK, head="transformer"),
        replace(QUICK, head="graph"),
        replace(QUICK, per="case", weighting="learned", bag_cells=12, batch_cases=3),
    ],
    ids=["feedforward", "transformer", "graph", "cases, learned"],
)
def test_a_bundle_says_of_each_patient_what_was_learnt(
    options: ExpressionOptions, cells: ExpressionCells, drawn: Path, tmp_path: Path
) -> None:
    run = ExpressionRun(learning=options, bundle=BUNDLE, folds=3)
    report = learnt_from_tables(cells, run, tmp_path, lambda _: None)
    assert (options.per == "case") == (not report.cases)
    assert (tmp_path / "expression.json").is_file()
    write_bundle(tmp_path / "spec.toml", to=tmp_path / "b.vxb")
    bundle, taught = open_bundle(tmp_path / "b.vxb"), ExpressionLearning(options=options)(cells)
    names, logits = taught.case_logits(taught.logits(cells.rows), cells.samples)
    expected = dict(zip(names, expit(logits[:, 1] - logits[:, 0]), strict=True))
    assert taught.classes == ("healthy", "ill")
    for found in find_tables(drawn / "tables"):
        with read_table(found) as case:
            (model,) = score_case(case, bundle).models
        assert model.score == pytest.approx(expected[found.name], abs=1e-4)
        assert {cell.predicted_class for cell in model.cells} <= {"healthy", "ill"}


def test_what_is_familiar_is_found_on_patients_held_out(
    cells: ExpressionCells, tmp_path: Path
) -> None:
    said: list[str] = []
    run = ExpressionRun(learning=QUICK, bundle=BUNDLE, folds=3)
    learnt_from_tables(cells, run, tmp_path, said.append)
    width = load_bag(tmp_path / "expression.safetensors").encoding_width
    known = familiar_from_bytes((tmp_path / "familiar.npz").read_bytes(), width)
    assert known.n_cases == 12
    few = cells.of_rows(np.isin(cells.patients, ["P01", "P02", "P03", "P04"]))
    learnt_from_tables(few, run, tmp_path / "few", said.append)
    assert not (tmp_path / "few" / "familiar.npz").exists()
    assert "warning: too few patients tell what strange cells are, so any table is scored" in said


def test_of_several_classes_a_bundle_looks_for_one_against_the_others(
    cells: ExpressionCells,
) -> None:
    labels = cells.labels.astype("<U20")
    labels[:5] = "unclear"
    three = replace(cells, labels=labels)
    assert for_positive(three, "ill").classes == ("ill", "others")
    assert for_positive(cells, "ill").classes == ("healthy", "ill")


def test_a_label_that_no_cell_has_is_refused(cells: ExpressionCells, tmp_path: Path) -> None:
    run = ExpressionRun(learning=QUICK, bundle=replace(BUNDLE, positive="sick"))
    with pytest.raises(InputError, match="no cell has the label 'sick'; the labels are healthy"):
        learnt_from_tables(cells, run, tmp_path, lambda _: None)


def test_what_can_be_checked_is_checked_before_anything_is_learnt(cells: ExpressionCells) -> None:
    for learning, sources, words in (
        (QUICK, ("T cell",), "no cell is of the lineage 'T cell'"),
        (QUICK, ("B cell", "monocyte"), "no lineage besides"),
        (replace(QUICK, pretrain_lineages=("T cell",)), (), "no cell is of the lineage 'T cell'"),
        (replace(QUICK, pretrain_lineages=("monocyte",)), ("B cell",), "cannot learn from 'mono"),
    ):
        run = ExpressionRun(learning=learning, bundle=BUNDLE, sources=sources)
        with pytest.raises(VexasEdgeError, match=words):
            learnt_from_tables(cells, run, Path("nowhere"), lambda _: None)
    assert not Path("nowhere").exists()


def test_a_label_may_be_any_text(cells: ExpressionCells, tmp_path: Path) -> None:
    label = 'ill "so", \\ they said'
    labels = np.where(cells.labels == "ill", label, "healthy")
    options = replace(BUNDLE, positive=label, synthetic=True)
    run = ExpressionRun(learning=QUICK, bundle=options, folds=2)
    learnt_from_tables(replace(cells, labels=labels), run, tmp_path, lambda _: None)
    spec = spec_from_file(tmp_path / "spec.toml")
    assert (spec.positive, spec.synthetic) == (label, True)


def test_patients_of_one_label_each_are_judged_by_folds_zero_shot(cells: ExpressionCells) -> None:
    asked = ZeroShotOptions(sources=("B cell",), positive="ill", shares=(0.5,), draws=2)
    rows = judge_zero_shot(cells, ExpressionLearning(options=QUICK), asked, QUICK, lambda _: None)
    judged = [patient for row in rows for patient in row.patient.split(", ")]
    assert sorted(judged) == [f"P{n + 1:02}" for n in range(12)]
    assert {row.lineage for row in rows} == {"monocyte"}
    of_one = cells.of_rows(cells.labels == "ill")
    with pytest.raises(InputError, match="expected two"):
        judge_zero_shot(of_one, ExpressionLearning(options=QUICK), asked, QUICK, lambda _: None)
