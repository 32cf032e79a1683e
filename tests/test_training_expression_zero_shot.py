"""Lineages that were not learnt from: their threshold without labels, and whether there is one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from training.drawn.expression import (
    DrawnExpression,
    drawn_expression,
    write_drawn_expression,
)
from training.expression.baselines import LearnExpression, fitted_baseline
from training.expression.cells import ExpressionCells, expression_cells
from training.expression.judging import expression_folds, judge_expression
from training.expression.learning import ExpressionLearning
from training.expression.options import ExpressionOptions
from training.expression.report import ExpressionReport, lines_from_expression
from training.expression.thresholds import (
    LearntModes,
    learnt_modes,
    threshold_for_share,
    two_normals,
)
from training.expression.zero_shot import ZeroShotOptions, judge_zero_shot
from vexas_edge.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")

MONOCYTES = ("CD14+ Monocytes", "FCGR3A+ Monocytes")
LYMPHOCYTES = ("B cells", "CD4 T cells", "CD8 T cells")
MODES = LearntModes(low=-8.0, high=8.0)


def quiet(line: str) -> None:
    pass


def logits(n_low: int, n_high: int, low: float = -5.0, high: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(low, 1.2, n_low), rng.normal(high, 1.2, n_high)])


@pytest.mark.parametrize(("n_low", "n_high"), [(50, 50), (70, 30), (90, 10), (10, 90)])
def test_the_threshold_lies_between_both_kinds_whatever_their_shares(
    n_low: int, n_high: int
) -> None:
    found = two_normals(logits(n_low, n_high))
    assert found.crossing == pytest.approx(-1.5, abs=1.0)
    assert found.shares[1] == pytest.approx(n_high / 100, abs=0.05)
    assert found.seems_mixed(MODES)


@pytest.mark.parametrize(("n_low", "n_high"), [(100, 0), (0, 100)])
def test_a_lineage_of_one_kind_does_not_seem_mixed(n_low: int, n_high: int) -> None:
    assert not two_normals(logits(n_low, n_high)).seems_mixed(MODES)


def test_two_kinds_of_positive_cells_are_not_taken_for_both() -> None:
    assert not two_normals(logits(50, 50, 3.0, 9.0)).seems_mixed(MODES)


def test_a_threshold_for_a_share_leaves_as_many_over_it() -> None:
    values = np.array([3.0, 1.0, 2.0, 4.0])
    for share, expected in ((0.0, 0), (0.25, 1), (0.5, 2), (1.0, 4)):
        assert (values > threshold_for_share(values, share)).sum() == expected


def test_too_few_cells_and_a_model_that_tells_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="9 cells; a threshold without labels needs at least 10"):
        two_normals(np.arange(9.0))
    with pytest.raises(InputError, match="does not tell them apart"):
        learnt_modes(np.zeros(4), np.array([True, False, True, False]))


@pytest.fixture(scope="module")
def stimulated(tmp_path_factory: pytest.TempPathFactory) -> ExpressionCells:
    """Drawn cells of two patients, each with cells of both kinds in both lineages."""
    wanted = DrawnExpression(patients=4, cells=100, strength=2.5, patient_log_sd=0.05, seed=3)
    folder = tmp_path_factory.mktemp("stimulated")
    table, cells_csv = write_drawn_expression(drawn_expression(wanted), folder)
    cells = expression_cells([table], cells_csv, quiet)
    first = np.isin(cells.patients, ["P01", "P02"])
    return replace(cells, patients=np.where(first, "A", "B"))


def test_a_lineage_that_was_not_learnt_from_is_judged(stimulated: ExpressionCells) -> None:
    options = ExpressionOptions(hidden=24, epochs=8, pretrain_epochs=2)
    asked = ZeroShotOptions(sources=("monocyte",), positive="ill", draws=3)
    rows = judge_zero_shot(stimulated, ExpressionLearning(options=options), asked, options, quiet)
    assert [(row.lineage, row.patient, row.n) for row in rows] == [
        ("B cell", "A", 100),
        ("B cell", "B", 100),
    ]
    for row in rows:
        assert row.roc_auc > 0.95
        for share in (0.5, 0.3):
            assert row.shares[share].recalibrated.balanced_accuracy > 0.85
            assert row.shares[share].by_share.balanced_accuracy > 0.85
            assert row.shares[share].positive.balanced_accuracy == 0.5
            assert row.shares[share].linear_mixed == 1.0
        for share in (0.0, 1.0):
            assert row.shares[share].linear_mixed == 0.0
        assert row.shares[0.0].learnt.f1 is None
        assert row.shares[1.0].positive.f1 == 1.0
        assert row.shares[0.5].n == 90
    report = ExpressionReport(title="drawn", how="", zero_shot=rows)
    assert sum("B cell" in line for line in lines_from_expression(report)) == 10


def test_lineages_and_shares_with_too_few_cells_are_left_out_and_said(
    stimulated: ExpressionCells,
) -> None:
    options = ExpressionOptions(hidden=24, epochs=8, pretrain_epochs=2)
    of_b = stimulated.lineages == "B cell"
    own, ill = of_b & (stimulated.patients == "A"), stimulated.labels == "ill"
    few = ~own | (np.cumsum(own & ill) <= 4) & ill | (np.cumsum(own & ~ill) <= 20) & ~ill
    only_ill = ~(of_b & (stimulated.patients == "B") & ~ill)
    said: list[str] = []
    rows = judge_zero_shot(
        stimulated.of_rows(few & only_ill),
        ExpressionLearning(options=options),
        ZeroShotOptions(sources=("monocyte",), positive="ill", draws=2),
        options,
        said.append,
    )
    assert [row.n for row in rows] == [24]
    assert sorted(rows[0].shares) == [0.0, 0.1, 0.3]
    assert "too few cells for 50%, 100% positive" in said[0]
    assert said[1] == "B cell of B: not judged, for want of cells of both labels"


def test_what_cannot_be_judged_is_refused(stimulated: ExpressionCells) -> None:
    learn, options = ExpressionLearning(options=ExpressionOptions()), ExpressionOptions()
    for asked, words in (
        (ZeroShotOptions(sources=("monocyte",), positive="sick"), "one of them 'sick'"),
        (ZeroShotOptions(sources=("monocyte", "B cell"), positive="ill"), "no lineage besides"),
        (ZeroShotOptions(sources=("T cell",), positive="ill"), "of the lineage 'T cell'"),
    ):
        with pytest.raises(InputError, match=words):
            judge_zero_shot(stimulated, learn, asked, options, quiet)


def real_cells(file: Path, label: str) -> ExpressionCells:
    """The cells of kang_pbmc.npz, by a label."""
    with np.load(file, allow_pickle=False) as arrays:
        return ExpressionCells(
            rows=sparse.csr_matrix(arrays["counts"].astype(np.float32)),
            features=tuple(arrays["genes"].tolist()),
            names=arrays["cells"],
            labels=arrays[label],
            patients=arrays["patient"],
            samples=arrays["sample"],
            lineages=arrays["cell_type"],
        )


@pytest.mark.real_data
@pytest.mark.parametrize("sources", [MONOCYTES, LYMPHOCYTES])
def test_stimulation_is_told_in_lineages_that_were_not_learnt_from(
    sources: tuple[str, ...], shared_data: Path
) -> None:
    cells, options = real_cells(shared_data / "genes/kang_pbmc.npz", "stim"), ExpressionOptions()
    asked = ZeroShotOptions(sources=sources, positive="stim", draws=2)
    rows = judge_zero_shot(cells, ExpressionLearning(options=options), asked, options, quiet)
    assert len(rows) == 2 * (5 - len(sources))
    for row in rows:
        for share, least in ((0.5, 0.84), (0.3, 0.85), (0.1, 0.80)):
            found = row.shares[share]
            assert found.recalibrated.balanced_accuracy >= least, (row.lineage, row.patient, share)
            assert found.linear_mixed >= 0.4
        assert row.shares[0.0].linear_mixed <= 0.4
        assert row.shares[1.0].linear_mixed == 0.0


@pytest.mark.real_data
def test_cell_types_are_told_in_the_other_patient(shared_data: Path) -> None:
    cells, options = (
        real_cells(shared_data / "genes/kang_pbmc.npz", "cell_type"),
        ExpressionOptions(),
    )
    learners: dict[str, LearnExpression] = {
        "net": ExpressionLearning(options=options),
        "logistic": lambda fit: fitted_baseline("logistic", fit, options),
    }
    found = judge_expression(cells, learners, expression_folds(cells), quiet)
    net, logistic = found["net"].overall, found["logistic"].overall
    assert net.accuracy >= max(0.87, logistic.accuracy - 0.03)
    assert net.intervals == {}
