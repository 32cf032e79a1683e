"""Cheaper graphs of models whose cells are rows of tables: made, judged and scored with."""

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner
from onnx import ModelProto
from tiny_vectors import FEATURES, drawn_counts, vector_bundle, with_head, write_counts

from calibration.cli import cli
from calibration.region import encoder_region
from vexas_edge.bundle.archive import open_bundle
from vexas_edge.bundle.graphs import FUSED


@pytest.fixture(scope="module", params=["feedforward", "transformer", "graph"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle, and a cohort of 16 patients."""
    folder = tmp_path_factory.mktemp("tables")
    vector_bundle(folder, with_head(request.param))
    write_cohort(folder, [drawn_counts(12, 100 + number) for number in range(16)])
    return folder


def write_cohort(folder: Path, tables: list[object]) -> None:
    with (folder / "cohort.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "sample", "path", "label", "split"])
        for number, counts in enumerate(tables):
            write_counts(folder / "tables" / f"P{number}.npz", counts)  # type: ignore[arg-type]
            label = "disease" if number % 2 else "healthy"
            split = "fit" if number < len(tables) // 2 else "judge"
            writer.writerow([f"P{number}", f"S{number}", f"tables/P{number}.npz", label, split])


def converted(folder: Path, precision: str, *options: str) -> tuple[int, str, Path]:
    to = folder / f"{precision}.vxb"
    words = [precision, str(folder / "tiny.vxb"), "--cohort", str(folder / "cohort.csv")]
    ended = CliRunner().invoke(cli, [*words, "--gate", "judge", "-o", str(to), *options])
    return ended.exit_code, f"{ended.output} {ended.exception}", to


def test_the_layers_that_take_all_numbers_are_converted_and_what_follows_is_not(made: Path) -> None:
    model = ModelProto.FromString(open_bundle(made / "tiny.vxb").model_file("expression", FUSED))
    region = encoder_region(model)
    kinds = [node.op_type for node in region.nodes]
    assert kinds == ["Gemm", "Relu", "Gemm"]


def test_a_float16_graph_passes_on_tables_and_scores_alike(made: Path) -> None:
    status, said, to = converted(made, "fp16")
    assert status == 0, said
    assert "expression fused.fp16.onnx: passed" in said
    entry = open_bundle(to).manifest.models["expression"].files["fused.fp16.onnx"]
    assert entry.measured["gate"]["n_smears"] == 8


def test_integer_graphs_are_judged_on_tables_that_calibration_never_saw(made: Path) -> None:
    """Whether they pass is up to the gate: random weights may not bear integers."""
    status, said, to = converted(made, "int8", "--calibrate", "fit", "--only", "int8-rr")
    assert "0 of 8 calls flip" in said
    if status:
        assert "expression fused.int8-rr.onnx: REFUSED: cosine p1" in said
        assert not to.exists()
        return
    bundle = open_bundle(to)
    measured = bundle.manifest.models["expression"].files["fused.int8-rr.onnx"].measured
    assert (measured["calibration"]["patients"], measured["gate"]["n_smears"]) == (8, 8)


def test_a_cell_in_calibration_and_gate_is_refused(tmp_path: Path) -> None:
    vector_bundle(tmp_path)
    tables = [drawn_counts(12, 100 + number) for number in range(8)]
    tables[7][3] = tables[0][5]
    write_cohort(tmp_path, list(tables))
    status, said, to = converted(tmp_path, "int8", "--calibrate", "fit", "--only", "int8-rr")
    assert status != 0
    assert "one cell is in calibration" in said
    assert not to.exists()


def test_a_table_that_lacks_features_is_no_gate(tmp_path: Path) -> None:
    vector_bundle(tmp_path)
    write_cohort(tmp_path, [drawn_counts(12, 100 + number) for number in range(8)])
    part = drawn_counts(12, 107)[:, 30:]
    write_counts(tmp_path / "tables" / "P7.npz", part, FEATURES[30:])
    status, said, _ = converted(tmp_path, "fp16")
    assert status != 0
    assert "line 9: the table lacks 30 of the 60 features of model 'expression'" in said
