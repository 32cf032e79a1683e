import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import Ended, library_or_skip, there
from tiny_vectors import (
    FEATURES,
    SIZES,
    VECTORS,
    VectorKind,
    drawn_counts,
    tiny_vectors,
    vector_bundle,
    with_head,
    write_counts,
)

from vexas_edge.bundle.archive import open_bundle
from vexas_edge.cells.vectors.cases import find_tables, read_table, table_at
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import InputError, UsageError
from vexas_edge.results.values import CaseScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.score import score_case
from vexas_edge.scoring.vectors import reading
from vexas_edge.scoring.vectors.tables import read_table_for
from vexas_edge.scoring.verification import run_selftest
from vexas_edge.smear.reader import read_case


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vector_bundle(tmp_path_factory.mktemp("vectors"), familiar=True)


def scored(table: Path, bundle: Path, chunk_cells: int | None = None) -> CaseScore:
    with read_table(table) as case:
        return score_case(case, open_bundle(bundle), chunk_cells=chunk_cells)


def numbers(score: CaseScore) -> tuple[object, ...]:
    """All that must not depend on how a table is written or read."""
    (model,) = score.models
    pulls = model.pulls and (model.pulls.up, model.pulls.down)
    return model.score, model.interval_low, model.interval_high, pulls, model.strangeness


def as_csv(counts: np.ndarray) -> str:
    lines = ["cell," + ",".join(FEATURES)]
    lines += [f"C{i}," + ",".join(str(int(v)) for v in row) for i, row in enumerate(counts)]
    return "\n".join(lines)


@pytest.mark.parametrize("head", ["feedforward", "transformer", "graph"])
def test_a_bundle_gives_what_torch_gives_whatever_the_chunks(head: str, tmp_path: Path) -> None:
    kind = with_head(head)
    path, bag = vector_bundle(tmp_path, kind), tiny_vectors(tmp_path / "again", kind)
    for n in (6, 177):
        counts = drawn_counts(n, seed=8)
        table = write_counts(tmp_path / f"P{n}.npz", counts)
        with torch.inference_mode():
            encodings = bag.encoder(torch.from_numpy(there(bag.scaling)(counts)))
            logit = bag.layers.of_encodings(encodings, [n]).bags.double()
        found = [scored(table, path, chunk) for chunk in (1, 7, 100, None)]
        assert found[0].models[0].score == pytest.approx(float(torch.sigmoid(logit)), abs=1e-5)
        assert len({numbers(score) for score in found}) == 1


def test_a_table_is_scored_with_the_self_test_and_the_records_of_any_case(
    bundle: Path, tmp_path: Path
) -> None:
    checks = list(run_selftest(open_bundle(bundle), EngineOptions(threads=2)))
    assert [check.file for check in checks] == ["fused.fp32.onnx", "head.onnx"]
    counts = drawn_counts(30, seed=3)
    counts[4], counts[9] = counts[2], 0
    score = scored(write_counts(tmp_path / "P1.npz", counts), bundle)
    assert (score.case, score.status, score.of_table) == ("P1", "scored", True)
    (model,) = score.models
    assert (model.n_cells, model.n_rejected) == (28, 1)
    assert [(cell.path, cell.reason) for cell in (*score.rejected, *score.duplicates)] == [
        ("C9", "no_numbers"),
        ("C4", "same_numbers"),
    ]
    assert score.duplicates[0].detail == "same numbers as C2"


def test_how_a_table_is_written_moves_no_bit(bundle: Path, tmp_path: Path) -> None:
    counts = drawn_counts(40, seed=4)
    plain = numbers(scored(write_counts(tmp_path / "plain.npz", counts), bundle))
    order = np.random.default_rng(0).permutation(len(FEATURES))
    names = tuple(FEATURES[place] for place in order)
    shuffled = write_counts(tmp_path / "shuffled.npz", counts[:, order], names)
    assert numbers(scored(shuffled, bundle)) == plain
    more = np.hstack([counts, np.full((40, 1), 7, np.float32)])
    with_more = write_counts(tmp_path / "more.npz", more, (*FEATURES, "OTHER1"))
    assert numbers(scored(with_more, bundle)) == plain
    turned = write_counts(tmp_path / "turned.npz", counts[::-1])
    assert numbers(scored(turned, bundle)) == plain
    (tmp_path / "table.csv").write_text(as_csv(counts))
    assert numbers(scored(tmp_path / "table.csv", bundle)) == plain


def test_rows_that_were_not_kept_are_read_again(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = drawn_counts(700, seed=5)
    counts[600] = counts[1]
    table = write_counts(tmp_path / "P1.npz", counts)
    kept = numbers(scored(table, bundle))
    for room in (0, 20_000):
        monkeypatch.setattr(reading, "KEPT_ROWS_BYTES", room)
        for chunk in (None, 3):
            assert numbers(scored(table, bundle, chunk)) == kept


def test_a_table_that_changes_between_two_readings_is_refused(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "KEPT_ROWS_BYTES", 0)
    (tmp_path / "table.csv").write_text(as_csv(drawn_counts(20, seed=5)))
    with read_table(table_at(tmp_path / "table.csv")) as case:
        (tmp_path / "table.csv").write_text(as_csv(drawn_counts(21, seed=5)))
        with pytest.raises(InputError, match="changed while it was being read"):
            read_table_for(case, open_bundle(bundle), lambda *_: None)
    with read_table(table_at(tmp_path / "table.csv")) as case:
        seen = read_table_for(case, open_bundle(bundle), lambda *_: None)
        (tmp_path / "table.csv").write_text(as_csv(drawn_counts(20, seed=6)))
        (read,) = seen.of_models.values()
        with pytest.raises(InputError, match="changed while it was being scored"):
            read.placed(read.distinct)


def test_the_name_of_a_cell_must_be_text(bundle: Path, tmp_path: Path) -> None:
    names = np.array([f"C{i}" for i in range(20)])
    names[2] = "\ud800"
    table = tmp_path / "P1.npz"
    np.savez(table, counts=drawn_counts(20), genes=np.array(FEATURES), cells=names)
    with pytest.raises(InputError, match="the name of a cell is no text"):
        scored(table, bundle)


def test_a_page_of_a_table_needs_no_pictures_and_no_names_of_files_are_read(
    bundle: Path, tmp_path: Path, vexas_edge: Callable[..., Ended]
) -> None:
    table, out = write_counts(tmp_path / "P1.npz", drawn_counts(20)), tmp_path / "out"
    assert vexas_edge("score", table, "--bundle", bundle, "-o", out).status == 0
    (result,) = (out / "cases").iterdir()
    assert vexas_edge("report", result).status == 0
    ended = vexas_edge("report", result, "--input", tmp_path)
    assert (ended.status, "is of a table, which has no pictures" in ended.err) == (2, True)
    ended = vexas_edge("score", table, "--bundle", bundle, "--class-map", "barcelona")
    assert (ended.status, "this bundle takes tables of numbers" in ended.err) == (2, True)


def test_missing_features_are_means_and_too_many_are_no_score(bundle: Path, tmp_path: Path) -> None:
    counts = drawn_counts(40, seed=4)
    whole = scored(write_counts(tmp_path / "whole.npz", counts), bundle).models[0]
    some = write_counts(tmp_path / "some.npz", counts[:, 6:], FEATURES[6:])
    (model,) = scored(some, bundle).models
    assert model.status == "scored"
    missing = there(model.missing)
    assert (missing.number, missing.examples) == (6, FEATURES[:5])
    assert model.score == pytest.approx(whole.score, abs=0.1)
    many = write_counts(tmp_path / "many.npz", counts[:, 20:], FEATURES[20:])
    (model,) = scored(many, bundle).models
    assert (model.status, model.reasons) == ("abstained", ("missing_features",))
    assert model.explanations == (
        "20 of the model's features (33.3 %) are not in the table, such as GENE0, GENE1, GENE2, "
        "GENE3, GENE4; 20.0 % may be missing",
    )
    mouse = tuple(name.capitalize() for name in FEATURES)
    (model,) = scored(write_counts(tmp_path / "mouse.npz", counts, mouse), bundle).models
    assert "as those of another species are" in model.explanations[0]


def test_cells_unlike_those_fitted_on_get_no_score(bundle: Path, tmp_path: Path) -> None:
    strange = np.random.default_rng(0).poisson(30, (40, len(FEATURES))).astype(np.float32)
    (model,) = scored(write_counts(tmp_path / "strange.npz", strange), bundle).models
    assert model.reasons == ("unlike_training",)
    assert there(model.strangeness).is_strange


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: np.log1p(c), "is no count; the model takes counts as they were counted"),
        (lambda c: -c, "is no count"),
        (lambda c: np.where(c > 5, np.nan, c), "is no finite number"),
    ],
)
def test_numbers_that_can_be_none_of_the_models_are_refused(
    change: object, said: str, bundle: Path, tmp_path: Path
) -> None:
    counts = drawn_counts(20, seed=4)
    np.savez(tmp_path / "P1.npz", counts=change(counts), genes=np.array(FEATURES))  # type: ignore[operator]
    with pytest.raises(InputError, match=said):
        scored(tmp_path / "P1.npz", bundle)


def test_a_table_on_its_side_or_with_a_name_twice_is_refused(bundle: Path, tmp_path: Path) -> None:
    counts = drawn_counts(20, seed=4)
    path = tmp_path / "P1.npz"
    names = np.array([f"C{i}" for i in range(20)])
    np.savez(path, counts=counts.T, genes=names, cells=np.array(FEATURES))
    with pytest.raises(InputError, match="the table lies on its side"):
        scored(path, bundle)
    np.savez(path, counts=counts, genes=np.array((*FEATURES[:-1], FEATURES[0])), cells=names)
    with pytest.raises(InputError, match="1 features twice that the model takes: GENE0"):
        scored(path, bundle)
    names[3] = "C2"
    np.savez(path, counts=counts, genes=np.array(FEATURES), cells=names)
    with pytest.raises(InputError, match="two cells are called C2"):
        scored(path, bundle)


def test_images_and_tables_are_told_apart(
    bundle: Path, tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    table = write_counts(tmp_path / "P1.npz", drawn_counts(20))
    with read_table(table) as case, pytest.raises(UsageError, match="takes images of cells"):
        score_case(case, open_bundle(tiny_bundle))
    with read_case(tiny_case) as smear, pytest.raises(UsageError, match="takes tables of cells"):
        score_case(smear, open_bundle(bundle))


def test_tables_below_a_folder_are_found(tmp_path: Path) -> None:
    write_counts(tmp_path / "a" / "P1.npz", drawn_counts(5))
    (tmp_path / "P2.counts.tsv.gz").write_bytes(b"")
    (tmp_path / "notes.pdf").write_bytes(b"")
    matrix = tmp_path / "P3" / "filtered"
    matrix.mkdir(parents=True)
    for name in ("matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"):
        (matrix / name).write_bytes(b"")
    found = find_tables(tmp_path)
    assert [case.name for case in found] == ["P2.counts", "P3/filtered", "a/P1"]
    assert [case.path.name for case in found] == ["P2.counts.tsv.gz", "filtered", "P1.npz"]
    (tmp_path / "a" / "P1.csv").write_text("")
    found = find_tables(tmp_path)
    assert [case.name for case in found] == ["P2.counts", "P3/filtered", "a/P1.csv", "a/P1.npz"]
    (tmp_path / "a" / "P1.csv.csv").write_text("")
    found = find_tables(tmp_path)
    assert [case.name for case in found if case.name.startswith("a/")] == [
        "a/P1.csv",
        "a/P1.csv.csv",
        "a/P1.npz",
    ]
    assert all(case.path.name == Path(case.name).name for case in found[2:])
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no table of cells"):
        find_tables(tmp_path / "none")
    with pytest.raises(InputError, match=r"is a folder without a matrix\.mtx; name the tables in"):
        read_table(tmp_path / "none")


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_what_may_hide_a_table_fails_by_name_and_the_others_are_found(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    write_counts(root / "P1.npz", drawn_counts(5))
    write_counts(elsewhere / "P2.npz", drawn_counts(5))
    (root / "P2").symlink_to(elsewhere)
    (root / "P2.csv").write_text(as_csv(drawn_counts(5)))
    (root / "README.md").symlink_to(tmp_path / "elsewhere" / "P2.npz")
    (root / "P3.csv").symlink_to(root / "gone.csv")
    (root / "notes.pdf").symlink_to(root / "gone.pdf")
    (root / "again.npz").symlink_to(root / "P1.npz")
    found = {case.name: case.problem for case in find_tables(root)}
    assert set(found) == {"P1", "P2.csv", "again", "P2", "P3.csv"}
    assert (found["P1"], found["again"], found["P2.csv"]) == (None, None, None)
    assert "is a link that leaves" in (found["P2"] or "")
    assert "is a link to nothing" in (found["P3.csv"] or "")
    with pytest.raises(InputError, match="is a link that leaves"):
        read_table(next(case for case in find_tables(root) if case.name == "P2"))


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("part", ["matrix.mtx", "features.tsv"])
def test_a_matrix_with_a_link_that_leaves_is_one_case_with_a_problem(
    part: str, tmp_path: Path
) -> None:
    folder = tmp_path / "root" / "P3"
    folder.mkdir(parents=True)
    (tmp_path / "elsewhere").write_text("")
    for name in ("matrix.mtx", "features.tsv", "barcodes.tsv", "metrics.csv"):
        (folder / name).write_text("")
    (folder / part).unlink()
    (folder / part).symlink_to(tmp_path / "elsewhere")
    (case,) = find_tables(tmp_path / "root")
    assert case.name == "P3"
    assert f"{part} is a link that leaves" in (case.problem or "")


def test_engines_agree_on_a_table(bundle: Path, tmp_path: Path) -> None:
    library_or_skip("openvino")
    table = write_counts(tmp_path / "P1.npz", drawn_counts(40, seed=6))
    part = write_counts(tmp_path / "part.npz", drawn_counts(40, seed=6)[:, 5:], FEATURES[5:])
    opened = open_bundle(bundle)
    for path in (table, part):
        scores = []
        for engine in ("onnxruntime", "openvino"):
            with (
                Sessions(opened, EngineOptions(engine=engine)) as sessions,
                read_table(path) as case,
            ):
                scores.append(score_case(case, opened, sessions).models[0].score)
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_a_wide_model_is_the_same_in_any_chunks(tmp_path: Path) -> None:
    n_features = 5000
    sizes = SIZES.__class__(n_features=n_features, hidden=(64,), width=32, head_width=16)
    vectors = VECTORS.__class__(**{**json.loads(_as_json()), "n_features": n_features})
    names = tuple(f"G{number}" for number in range(n_features))
    path = vector_bundle(tmp_path, VectorKind(sizes=sizes, vectors=vectors, features=names))
    table = write_counts(tmp_path / "P1.npz", drawn_counts(150, 3, n_features), names)
    assert len({numbers(scored(table, path, chunk)) for chunk in (1, 7, 64, None)}) == 1


def _as_json() -> str:
    import msgspec

    fields = msgspec.to_builtins(VECTORS)
    del fields["kind"]
    return json.dumps(fields)
