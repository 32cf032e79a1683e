"""Gene expression: cells are read with their labels, learnt from, and judged beside baselines."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from export.vectors.network import AnchorGraph
from export.vectors.sizes import HeadKind
from training.drawn.expression import (
    DrawnExpression,
    drawn_expression,
    write_drawn_expression,
)
from training.expression.baselines import Baseline, baseline_learners, fitted_baseline
from training.expression.cells import ExpressionCells, TakenNumbers, expression_cells
from training.expression.judging import (
    OutOfFold,
    expression_folds,
    judge_expression,
    judged_expression,
    out_of_fold,
    rank_auc,
)
from training.expression.learning import ExpressionLearning
from training.expression.options import CaseWeighting, ExpressionOptions
from training.expression.report import ExpressionReport, lines_from_expression, write_expression
from vexas_edge.errors import InputError, UsageError

pytestmark = pytest.mark.usefixtures("one_thread")

FAST = ExpressionOptions(hidden=24, anchors=60, epochs=8, pretrain_epochs=2, batch_size=16)


def quiet(line: str) -> None:
    pass


def drawn_cells(folder: Path, wanted: DrawnExpression | None = None) -> ExpressionCells:
    table, cells_csv = write_drawn_expression(drawn_expression(wanted or DrawnExpression()), folder)
    return expression_cells([table], cells_csv, quiet)


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> ExpressionCells:
    wanted = DrawnExpression(strength=2.0, cells=30, patients=6)
    return drawn_cells(tmp_path_factory.mktemp("strong"), wanted)


def written(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text)
    return path


def test_a_drawn_table_is_read_alike_from_arrays_and_from_text(tmp_path: Path) -> None:
    drawn = drawn_expression(DrawnExpression(patients=2, cells=6))
    first, cells_csv = write_drawn_expression(drawn, tmp_path)
    arrays = expression_cells([first], cells_csv, quiet)
    table, _ = write_drawn_expression(drawn, tmp_path, "csv")
    text = expression_cells([table], cells_csv, quiet)
    assert (arrays.dense() == drawn.counts).all()
    assert (text.dense() == drawn.counts).all()
    assert text.features == arrays.features == drawn.genes
    assert text.names.tolist() == arrays.names.tolist()
    assert arrays.classes == ("healthy", "ill")
    assert set(arrays.lineages.tolist()) == {"B cell", "monocyte"}
    again = drawn_expression(DrawnExpression(patients=2, cells=6))
    assert (again.counts == drawn.counts).all()


def test_cells_that_the_csv_does_not_name_are_counted_and_said(tmp_path: Path) -> None:
    table, _ = write_drawn_expression(drawn_expression(DrawnExpression(patients=1)), tmp_path)
    said: list[str] = []
    labels = written(tmp_path, "cell,label,patient\nP01-0002,a,P\nP01-0005,b,P\n")
    cells = expression_cells([table], labels, said.append)
    assert cells.names.tolist() == ["P01-0002", "P01-0005"]
    assert cells.samples.tolist() == ["P", "P"]
    assert cells.lineages.tolist() == ["", ""]
    assert said == [f"note: 58 cells of the tables are not in {labels}, and are left out"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cell,label\nP01-0001,a\n", "lacks the columns patient"),
        ("cell,label,patient\nP01-0001,a,P\nP01-0001,b,P\n", "already in line 2; name each cell"),
        ("cell,label,patient\nX,a,P\n", "no table has the cell 'X', and 1 of 1"),
        ("cell,label,patient\nP01-0001,,P\n", "line 2: no value for label"),
        ("cell,label,patient\nP01-0001,a\n", "line 2: 2 values for 3 columns"),
        ("cell,label,patient,label\nP01-0001,a,P,b\n", "the column 'label' twice"),
        ("cell,label,patient\n", "names no cell"),
        (
            "cell,label,patient,sample\nP01-0001,a,P,S\nP01-0002,a,Q,S\n",
            "line 3: the sample 'S' is of the patients 'P' and 'Q'",
        ),
    ],
)
def test_a_csv_that_is_wrong_is_refused_with_its_line(
    text: str, words: str, tmp_path: Path
) -> None:
    table, _ = write_drawn_expression(drawn_expression(DrawnExpression(patients=1)), tmp_path)
    with pytest.raises(InputError, match=words):
        expression_cells([table], written(tmp_path, text), quiet)


def test_tables_of_other_features_or_with_the_same_cell_are_refused(tmp_path: Path) -> None:
    first, cells_csv = write_drawn_expression(drawn_expression(DrawnExpression()), tmp_path)
    np.savez(tmp_path / "b.npz", counts=[[1, 2]], genes=["GENE1", "OTHER"], cells=["P01-0001"])
    with pytest.raises(InputError, match=r"differ in 120 features: GENE10, .*same features"):
        expression_cells([first, tmp_path / "b.npz"], cells_csv, quiet)
    with pytest.raises(InputError, match=r"'P01-0001' is in .* and again in"):
        expression_cells([first, first], cells_csv, quiet)


def test_features_with_the_name_of_another_are_left_out_and_said(tmp_path: Path) -> None:
    labels = written(tmp_path, "cell,label,patient\na,one,P\n")
    said: list[str] = []
    np.savez(tmp_path / "a.npz", counts=[[1, 2, 3]], genes=["TBCE", "X", "TBCE"], cells=["a"])
    cells = expression_cells([tmp_path / "a.npz"], labels, said.append)
    assert (cells.features, cells.dense().tolist()) == (("X",), [[2]])
    assert said == ["note: 1 features are left out, as others have their names: TBCE"]


def test_numbers_that_the_bundle_would_refuse_are_not_learnt_from(tmp_path: Path) -> None:
    labels = written(tmp_path, "cell,label,patient\na,one,P\n")
    ids = [f"ENSG{number:011}" for number in range(2)]
    for name, numbers, genes, words in (
        ("a", [[1.5, 2]], ["X", "Y"], "a.npz: .*1.5"),
        ("b", [[-1, 2]], ["X", "Y"], "b.npz: .*-1"),
        ("c", [[1, 2]], ids, "names its features otherwise.*give --names ensembl"),
    ):
        table = tmp_path / f"{name}.npz"
        np.savez(table, counts=numbers, genes=genes, cells=["a"])
        with pytest.raises(InputError, match=words):
            expression_cells([table], labels, quiet, TakenNumbers(names="symbol", counts=True))
        if name != "c":
            assert len(expression_cells([table], labels, quiet)) == 1


def test_columns_of_a_second_table_may_stand_in_another_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", counts=[[1, 2]], genes=["X", "Y"], cells=["a"])
    np.savez(tmp_path / "b.npz", counts=[[3, 4]], genes=["Y", "X"], cells=["b"])
    labels = written(tmp_path, "cell,label,patient\na,one,P\nb,two,Q\n")
    cells = expression_cells([tmp_path / "a.npz", tmp_path / "b.npz"], labels, quiet)
    assert cells.dense().tolist() == [[1, 2], [4, 3]]


@pytest.mark.parametrize("head", ["feedforward", "transformer", "graph"])
def test_the_same_cells_teach_the_same(head: HeadKind, strong: ExpressionCells) -> None:
    options = replace(FAST, head=head, epochs=2)
    some = strong.of_rows(np.arange(0, len(strong), 3))
    state = torch.random.get_rng_state()
    first, second = (ExpressionLearning(options=options)(some) for _ in range(2))
    assert bool((torch.random.get_rng_state() == state).all())
    logits = first.logits(strong.rows)
    assert logits.shape == (len(strong), 2)
    assert (logits == second.logits(strong.rows)).all()
    assert logits == pytest.approx(first.logits(strong.dense()))
    encodings = first.encodings(strong.rows)
    assert (encodings @ first.weight.T + first.bias).astype(float).tolist() == logits.tolist()
    assert not first.encoder.training


def test_anchors_are_encodings_of_cells_that_were_learnt_from(strong: ExpressionCells) -> None:
    options = replace(FAST, head="graph", anchors=9, neighbours=20)
    learnt = ExpressionLearning(options=options)(strong)
    body = learnt.encoder.body
    assert isinstance(body, AnchorGraph)
    with torch.inference_mode():
        scaled = torch.from_numpy(learnt.scaling(strong.dense()))
        every = learnt.encoder.compress(scaled)
    nearest = torch.cdist(body.anchors, every).min(dim=1).values
    assert body.anchors.shape == (9, 256)
    assert nearest.numpy() == pytest.approx(np.zeros(9), abs=1e-2)
    assert learnt.encoder.sizes.neighbours == 8


def test_a_frozen_encoder_is_what_the_autoencoder_left(strong: ExpressionCells) -> None:
    frozen = replace(FAST, fine_tune=False)
    few, many = (
        ExpressionLearning(options=replace(frozen, epochs=n))(strong).encoder.compress.state_dict()
        for n in (1, 4)
    )
    assert all(bool((few[key] == many[key]).all()) for key in few)


def test_a_strong_illness_is_told_and_none_is_not(strong: ExpressionCells, tmp_path: Path) -> None:
    learners = baseline_learners(FAST)
    learners["net"] = ExpressionLearning(options=FAST)
    found = judge_expression(strong, learners, expression_folds(strong), quiet)
    assert found["net"].overall.roc_auc == pytest.approx(1.0, abs=0.03)
    assert found["logistic"].overall.roc_auc == pytest.approx(1.0, abs=0.03)
    assert found["one_class"].overall.balanced_accuracy <= 0.5
    assert set(found["net"].by_lineage) == {"B cell", "monocyte"}
    none = drawn_cells(tmp_path, DrawnExpression(strength=0.0, cells=20, seed=2))
    said = out_of_fold(none, learners["net"], expression_folds(none))
    low, high = judged_expression(said).overall.intervals["roc_auc"]
    assert low < 0.5 < high


@pytest.mark.parametrize("weighting", ["mean", "learned"])
def test_labels_of_cases_are_told_from_their_cells(
    weighting: CaseWeighting, strong: ExpressionCells
) -> None:
    options = replace(FAST, per="case", weighting=weighting, epochs=12, bag_cells=16, batch_cases=3)
    learn = ExpressionLearning(options=options)
    said = out_of_fold(strong, learn, expression_folds(strong), "case")
    assert len(said.labels) == 6
    assert judged_expression(said).overall.roc_auc == 1.0


def test_learning_that_makes_no_sense_is_refused(strong: ExpressionCells) -> None:
    with pytest.raises(InputError, match="at least two"):
        ExpressionLearning(options=FAST)(strong.of_rows(strong.labels == "ill"))
    mixed = replace(strong, samples=np.array(["S"] * len(strong), np.str_))
    with pytest.raises(InputError, match="have the labels healthy, ill"):
        ExpressionLearning(options=replace(FAST, per="case"))(mixed)
    three = replace(strong, labels=np.array(["a", "b", "c"] * (len(strong) // 3), np.str_))
    with pytest.raises(UsageError, match="two classes, and there are 3"):
        ExpressionLearning(options=replace(FAST, per="case", weighting="learned"))(three)
    with pytest.raises(InputError, match="the lineage 'T cell'; there are 'B cell', 'monocyte'"):
        ExpressionLearning(options=replace(FAST, pretrain_lineages=("T cell",)))(strong)
    with pytest.raises(UsageError, match="dropout is 1"):
        ExpressionOptions(dropout=1.0)


def test_baselines_look_at_cells_to_fit_on_alone(strong: ExpressionCells) -> None:
    fit = strong.of_rows(strong.patients != "P01")
    one = fitted_baseline("one_gene", fit, FAST)
    anova = fitted_baseline("anova", fit, FAST)
    assert isinstance(one, Baseline)
    assert len(one.kept) == 1
    assert isinstance(anova, Baseline)
    assert len(anova.kept) in (100, 120)
    judged = np.flatnonzero(strong.patients == "P01")
    shuffled = strong.labels.copy()
    shuffled[judged] = shuffled[judged][::-1]
    again = fitted_baseline(
        "anova", replace(strong, labels=shuffled).of_rows(strong.patients != "P01"), FAST
    )
    assert (again.logits(strong.rows) == anova.logits(strong.rows)).all()


def test_no_patient_is_learnt_from_and_judged(strong: ExpressionCells) -> None:
    for fit, judge in expression_folds(strong):
        assert not set(strong.patients[fit]) & set(strong.patients[judge])
    two = strong.of_rows(np.isin(strong.patients, ["P01", "P02"]))
    assert len(expression_folds(two)) == 2
    assert len(expression_folds(strong, 5)) == 5
    alone = replace(two, patients=np.array(["P"] * len(two), np.str_))
    assert len(expression_folds(alone)) == 5


def test_figures_are_those_of_hand_and_two_patients_get_no_interval() -> None:
    said = OutOfFold(
        classes=("a", "b"),
        probabilities=np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]]),
        labels=np.array(["a", "a", "b", "b"]),
        patients=np.array(["P", "P", "Q", "Q"]),
        lineages=np.array(["", "", "", ""]),
    )
    found = judged_expression(said)
    assert found.overall.accuracy == 0.75
    assert found.overall.balanced_accuracy == 0.75
    assert found.overall.roc_auc == 1.0
    assert found.overall.intervals == {}
    assert found.by_patient["Q"].roc_auc is None
    assert found.recall == {"a": 0.5, "b": 1.0}
    assert rank_auc(np.array([1.0, 1.0, 0.0]), np.array([True, False, False])) == 0.75


def test_a_report_can_be_read_again_and_shown(strong: ExpressionCells, tmp_path: Path) -> None:
    learners = {"one_class": baseline_learners(FAST)["one_class"]}
    found = judge_expression(strong, learners, expression_folds(strong), quiet)
    report = ExpressionReport(title="drawn", how="5 folds", judged=found)
    write_expression(report, tmp_path)
    text = (tmp_path / "expression.json").read_bytes()
    assert msgspec.json.decode(text, type=ExpressionReport) == report
    lines = lines_from_expression(report)
    assert lines[0] == "drawn, 5 folds"
    assert any(line.startswith("one_class  180") for line in lines)
