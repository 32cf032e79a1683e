"""Scores: what they are, and that nothing moves them that should not."""

import random
import shutil
import weakref
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from tiny import (
    CLASSES,
    TinyModel,
    bundle_content,
    cell_pixels,
    on_canvas,
    png,
    rewritten,
    there,
    write_case,
    write_cells,
)

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import images_tensor
from vexas_edge.cells.canvas import DecodedCell, decode_cell
from vexas_edge.cells.images import identity_of
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import open_engine
from vexas_edge.errors import BundleError, HostError, InputError, UsageError
from vexas_edge.results.values import NOTICE, SYNTHETIC_NOTICE, CaseScore, ModelScore
from vexas_edge.runtime import session as sessions_module
from vexas_edge.runtime.choice import cells_per_call
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring import encoding
from vexas_edge.scoring.draws import draw_cells
from vexas_edge.scoring.figures.interval import prediction_interval
from vexas_edge.scoring.images import reading, smears


@pytest.fixture(scope="module")
def sessions(tiny_bundle: Path) -> Iterator[Sessions]:
    with Sessions(open_bundle(tiny_bundle), EngineOptions(threads=2)) as opened:
        yield opened


@pytest.fixture
def score(sessions: Sessions) -> Callable[..., CaseScore]:
    """Scores the case at a path with the tiny bundle."""

    def score(path: Path, **options: Any) -> CaseScore:
        return score_case(read_case(path), sessions.bundle, sessions, **options)

    return score


def model_of(result: CaseScore, name: str) -> ModelScore:
    return next(model for model in result.models if model.model == name)


def score_of(found: ModelScore) -> float:
    return there(found.score)


def numbers(result: CaseScore) -> list[dict[str, Any]]:
    """Everything about the models but the names of the cells."""
    fields: list[dict[str, Any]] = msgspec.to_builtins(result.models)
    for model in fields:
        model["cells"] = sorted((cell["identity"], cell["status"]) for cell in model["cells"])
    return fields


def numbers_only(result: CaseScore) -> list[dict[str, Any]]:
    """Everything about the models but their cells."""
    return [{**model, "cells": None} for model in numbers(result)]


@pytest.mark.parametrize("name", ["neutrophil", "monocyte"])
def test_a_score_is_what_numpy_torch_and_scikit_learn_give(
    score: Callable[..., CaseScore], tiny_models: dict[str, TinyModel], tiny_case: Path, name: str
) -> None:
    files = sorted((tiny_case / name).iterdir())
    cells = np.stack([on_canvas(np.asarray(Image.open(path))) for path in files])
    identities = [identity_of(np.asarray(Image.open(path))) for path in files]
    encodings = tiny_models[name].encodings(cells)
    aggregates = np.median(encodings[draw_cells(identities, 200, 10, seed=0)], axis=1)
    probabilities = tiny_models[name].classifier.predict_proba(aggregates.astype(np.float64))
    positive = probabilities[:, CLASSES.index("VEXAS")]

    found = model_of(score(tiny_case), name)
    assert found.score == pytest.approx(positive.mean(), abs=1e-6)
    error = positive.std(ddof=1) / np.sqrt(200)
    assert found.standard_error == pytest.approx(error, abs=1e-6)
    low, high = np.percentile(positive, [2.5, 97.5])
    assert (found.draws_low, found.draws_high) == pytest.approx((low, high), abs=1e-6)
    assert found.share_over_threshold == (positive >= 0.5).mean()
    assert found.call == (positive.mean() >= 0.5)
    draws = draw_cells(identities, 200, 10, seed=0)
    interval = prediction_interval(positive, draws, len(files))
    assert (found.interval_low, found.interval_high) == pytest.approx(interval, abs=2e-4)
    assert found.call_uncertain == (interval[0] <= 0.5 <= interval[1])
    assert list(found.probabilities.values()) == pytest.approx(probabilities.mean(axis=0), abs=1e-6)
    labels = [(probabilities.argmax(axis=1) == i).mean() for i in range(3)]
    assert found.label_shares == dict(zip(CLASSES, labels, strict=True))
    assert (found.status, found.n_cells, found.n_draws) == ("scored", len(files), 200)


def test_the_draws_vary_so_that_these_tests_show_something(
    score: Callable[..., CaseScore], tiny_case: Path
) -> None:
    for name in ("neutrophil", "monocyte"):
        found = model_of(score(tiny_case), name)
        assert there(found.draws_high) - there(found.draws_low) > 0.05


@pytest.mark.parametrize("chunk_cells", [1, 2, 7, 1000])
def test_chunks_do_not_change_a_bit(
    score: Callable[..., CaseScore], tiny_case: Path, chunk_cells: int
) -> None:
    assert numbers(score(tiny_case, chunk_cells=chunk_cells)) == numbers(score(tiny_case))


def test_renaming_and_reordering_the_cells_does_not_change_a_bit(
    score: Callable[..., CaseScore], tiny_case: Path, tmp_path: Path
) -> None:
    names = random.Random(0)
    for path in tiny_case.rglob("*.png"):
        folder = tmp_path / "other" / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"{names.random()} zoë.PNG")
    assert numbers(score(tmp_path / "other")) == numbers(score(tiny_case))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_packing_the_cells_does_not_change_a_bit(
    score: Callable[..., CaseScore], tiny_case: Path, tmp_path: Path, compression: int
) -> None:
    with zipfile.ZipFile(tmp_path / "P1.zip", "w", compression) as archive:
        for path in sorted(tiny_case.rglob("*.png"), reverse=True):
            archive.write(path, f"top/{path.relative_to(tiny_case)}")
    assert numbers(score(tmp_path / "P1.zip")) == numbers(score(tiny_case))


def test_a_case_scored_alone_or_after_others_gives_the_same_bits(
    score: Callable[..., CaseScore], tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    alone = score_case(read_case(tiny_case), open_bundle(tiny_bundle))
    score(write_case(tmp_path, seed=5, neutrophil=40))
    assert numbers(score(tiny_case)) == numbers(alone)


def test_removing_one_of_forty_cells_moves_the_score_little(
    score: Callable[..., CaseScore], tmp_path: Path
) -> None:
    case = write_case(tmp_path / "P", neutrophil=40)
    before = score_of(model_of(score(case), "neutrophil"))
    moved = []
    for path in sorted(case.rglob("*.png")):
        content = path.read_bytes()
        path.unlink()
        moved.append(abs(score_of(model_of(score(case), "neutrophil")) - before))
        path.write_bytes(content)
    assert 0 < np.median(moved) < 0.02


def test_an_exact_copy_counts_once_and_is_named(
    score: Callable[..., CaseScore], tiny_case: Path, tmp_path: Path
) -> None:
    case = shutil.copytree(tiny_case, tmp_path / "P1")
    shutil.copy(case / "neutrophil" / "3.png", case / "neutrophil" / "copy.png")
    (case / "neutrophil_segmented").mkdir()
    shutil.copy(case / "neutrophil" / "0.png", case / "neutrophil_segmented" / "again.png")
    result = score(case)
    assert numbers_only(result) == numbers_only(score(tiny_case))
    assert [(cell.path, cell.detail) for cell in result.duplicates] == [
        ("neutrophil/copy.png", "same pixels as neutrophil/3.png"),
        ("neutrophil_segmented/again.png", "same pixels as neutrophil/0.png"),
    ]
    assert {cell.reason for cell in result.duplicates} == {"same_pixels"}


def test_bad_cells_are_named_and_not_fatal(score: Callable[..., CaseScore], tmp_path: Path) -> None:
    case = write_case(tmp_path / "P1", neutrophil=27)
    clean = numbers_only(score(case))
    (case / "neutrophil" / "00.png").write_bytes(b"")
    (case / "neutrophil" / "z.png").write_bytes(png(cell_pixels(1))[:-30])
    big = cell_pixels(1)[:4, :4].repeat(5, axis=0)
    (case / "neutrophil" / "big.png").write_bytes(png(big))
    result = score(case)
    assert numbers_only(result) == [{**clean[0], "n_unreadable": 3}, *clean[1:]]
    assert [(cell.path, cell.reason) for cell in result.unreadable] == [
        ("neutrophil/00.png", "empty_file"),
        ("neutrophil/big.png", "larger_than_canvas"),
        ("neutrophil/z.png", "truncated"),
    ]
    assert result.status == "scored"


def test_a_larger_cell_is_cropped_where_its_model_says_so(
    score: Callable[..., CaseScore], tiny_case: Path, tmp_path: Path
) -> None:
    case = shutil.copytree(tiny_case, tmp_path / "P1")
    (case / "monocyte" / "big.png").write_bytes(
        png(cell_pixels(8)[:5, :5].repeat(8, 0).repeat(8, 1))
    )
    result = score(case)
    assert model_of(result, "monocyte").n_cells == 10
    assert result.unreadable == ()


def test_too_few_cells_make_a_model_abstain(
    score: Callable[..., CaseScore], tiny_case: Path
) -> None:
    result = score(tiny_case)
    few = model_of(result, "lymphocyte")
    assert (few.status, few.reasons, few.n_cells) == ("abstained", ("too_few_cells",), 3)
    assert (few.score, few.call, few.n_draws, few.probabilities) == (None, None, None, {})
    assert [cell.status for cell in few.cells] == ["used"] * 3


@pytest.mark.parametrize(("n", "status"), [(4, "abstained"), (5, "scored")])
def test_the_minimum_counts_distinct_readable_cells(
    score: Callable[..., CaseScore], tmp_path: Path, n: int, status: str
) -> None:
    paths = write_cells(tmp_path / "neutrophil", n)
    shutil.copy(paths[0], tmp_path / "neutrophil" / "copy.png")
    (tmp_path / "neutrophil" / "bad.png").write_bytes(b"x")
    found = model_of(score(tmp_path), "neutrophil")
    assert (found.n_cells, found.status) == (n, status)


def test_a_model_without_any_cell_abstains(tiny_bundle: Path, tmp_path: Path) -> None:
    result = score_case(read_case(write_case(tmp_path, eosinophil=3)), open_bundle(tiny_bundle))
    assert [(m.status, m.n_cells, m.reasons) for m in result.models] == [
        ("abstained", 0, ("too_few_cells",))
    ] * 3
    assert (result.status, result.classes) == ("abstained", {"eosinophil": 3})
    assert (there(result.run).engine, there(result.run).device, there(result.run).threads) == (
        None,
        None,
        None,
    )


def test_without_a_lead_model_a_case_is_scored_when_any_model_scored(
    score: Callable[..., CaseScore], tiny_case: Path
) -> None:
    result = score(tiny_case)
    assert [model.status for model in result.models] == ["scored", "scored", "abstained"]
    assert (result.status, result.call, result.lead) == ("scored", None, None)


@pytest.mark.parametrize(("lead", "status"), [("monocyte", "scored"), ("lymphocyte", "abstained")])
def test_the_lead_model_alone_decides(
    tiny_bundle: Path, tiny_case: Path, tmp_path: Path, lead: str, status: str
) -> None:
    bundle = open_bundle(rewritten(tiny_bundle, tmp_path / "b.vxb", lead=lead))
    result = score_case(read_case(tiny_case), bundle)
    assert (result.lead, result.status) == (lead, status)
    assert result.call == model_of(result, lead).call
    assert model_of(result, "neutrophil").status == "scored"


def only_neutrophil(bundle: Path, to: Path, threshold: float) -> Bundle:
    manifest, _ = bundle_content(bundle)
    model = msgspec.structs.replace(manifest.models["neutrophil"], threshold=threshold)
    return open_bundle(rewritten(bundle, to, models={"neutrophil": model}))


def test_a_threshold_inside_the_interval_makes_the_call_uncertain(
    score: Callable[..., CaseScore], tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    known = model_of(score(tiny_case), "neutrophil")
    assert 0.01 < there(known.interval_low) < score_of(known) < there(known.interval_high) < 0.99
    at, low, high = score_of(known), there(known.interval_low), there(known.interval_high)
    for threshold, call, uncertain in (
        (at, True, True),
        (np.nextafter(at, 1), False, True),
        (low, True, True),
        (low - 1e-4, True, False),
        (high, False, True),
        (high + 1e-4, False, False),
    ):
        bundle = only_neutrophil(tiny_bundle, tmp_path / "b.vxb", float(threshold))
        result = score_case(read_case(tiny_case), bundle)
        (found,) = result.models
        assert (found.call, found.call_uncertain, found.score) == (call, uncertain, at)
        assert result.call == call  # the only model's


def test_a_synthetic_bundle_says_so_in_every_result(
    tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(rewritten(tiny_bundle, tmp_path / "b.vxb", synthetic=True))
    result = score_case(read_case(tiny_case), bundle)
    assert result.notice == f"{SYNTHETIC_NOTICE} {NOTICE}"
    assert there(result.bundle).synthetic


def test_a_result_says_what_made_it(
    score: Callable[..., CaseScore], sessions: Sessions, tiny_case: Path
) -> None:
    result = score(tiny_case)
    assert (result.case, result.notice) == ("P1", NOTICE)
    assert there(result.bundle).sha256 == sessions.bundle.sha256
    assert (there(result.run).engine, there(result.run).device) == ("onnxruntime", "cpu")
    assert (there(result.run).threads, there(result.run).precision) == (2, "fp32")
    assert there(result.run).seeds == {"neutrophil": 0, "monocyte": 0, "lymphocyte": 0}
    assert result.classes == {"lymphocyte": 3, "monocyte": 9, "neutrophil": 12}


def shifted_classifier(bundle: Path, to: Path, by: float) -> Path:
    """The bundle with every calibration offset of the fused neutrophil graph moved."""
    _, contents = bundle_content(bundle)
    graph = onnx.load_from_string(contents["models/neutrophil/fused.fp32.onnx"])
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.shape == (3,) and values.dtype == np.float32:
            moved = values + np.array([by, 0, 0], np.float32)
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    return rewritten(bundle, to, {"models/neutrophil/fused.fp32.onnx": graph.SerializeToString()})


@pytest.mark.parametrize("chunk_cells", [1, 5, 12, None])
@pytest.mark.parametrize("by", [0.1, 1.0])
def test_a_fused_graph_whose_classifier_was_changed_fails_loudly(
    by: float, chunk_cells: int | None, tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(shifted_classifier(tiny_bundle, tmp_path / "b.vxb", by))
    with pytest.raises(HostError, match="model neutrophil: the fused graph's score differs from"):
        score_case(read_case(tiny_case), bundle, chunk_cells=chunk_cells)


def test_the_reported_score_is_the_heads(
    score: Callable[..., CaseScore], tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(shifted_classifier(tiny_bundle, tmp_path / "b.vxb", 1e-4))
    result = score_case(read_case(tiny_case), bundle, chunk_cells=5)
    assert numbers(result) == numbers(score(tiny_case))


def test_swapped_heads_fail_loudly(tiny_bundle: Path, tiny_case: Path, tmp_path: Path) -> None:
    _, contents = bundle_content(tiny_bundle)
    swapped = {"models/neutrophil/head.onnx": contents["models/monocyte/head.onnx"]}
    bundle = open_bundle(rewritten(tiny_bundle, tmp_path / "b.vxb", swapped))
    with pytest.raises(HostError, match="differs from the head's"):
        score_case(read_case(tiny_case), bundle)


@pytest.mark.parametrize(
    ("field", "value", "tensor"),
    [("canvas_px", 24, "cells"), ("encoding_width", 7, "encodings"), ("draw_size", 9, "draws")],
)
def test_a_manifest_that_contradicts_its_graphs_is_refused(
    field: str, value: int, tensor: str, tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    models = dict(open_bundle(tiny_bundle).manifest.models)
    model = models["neutrophil"]
    lie: dict[str, object] = {field: value}
    if field == "canvas_px":
        lie = {"instances": msgspec.structs.replace(model.images, canvas_px=value)}
    if field == "draw_size":
        lie = {"aggregation": msgspec.structs.replace(model.aggregation, draw_size=value)}
    models["neutrophil"] = msgspec.structs.replace(model, **lie)
    bundle = open_bundle(rewritten(tiny_bundle, tmp_path / "b.vxb", models=models))
    with pytest.raises(BundleError, match=f"has {tensor} of shape .*the manifest says"):
        score_case(read_case(tiny_case), bundle)


def test_the_head_runs_on_the_cpu_whatever_was_asked_for(
    tiny_bundle: Path, tiny_case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[bool, EngineOptions]] = []

    def watched(graph: bytes, options: EngineOptions) -> Any:
        names = {value.name for value in onnx.load_from_string(graph).graph.input}
        opened.append(("cells" not in names, options))
        return open_engine(graph, EngineOptions(device="cpu", threads=options.threads))

    monkeypatch.setattr(sessions_module, "open_engine", watched)
    bundle = open_bundle(tiny_bundle)
    with Sessions(bundle, EngineOptions(device="cuda")) as sessions:
        score_case(read_case(tiny_case), bundle, sessions)
    assert {options.device for is_head, options in opened if is_head} == {"cpu"}
    assert {options.device for is_head, options in opened if not is_head} == {"cuda"}


def test_encodings_that_are_not_finite_fail_loudly(
    tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    _, contents = bundle_content(tiny_bundle)
    graph = onnx.load_from_string(contents["models/neutrophil/fused.fp32.onnx"])
    kernel = next(t for t in graph.graph.initializer if tuple(t.dims) == (6, 3, 3, 3))
    values = np.full((6, 3, 3, 3), np.nan, np.float32)
    kernel.CopyFrom(numpy_helper.from_array(values, kernel.name))
    broken = {"models/neutrophil/fused.fp32.onnx": graph.SerializeToString()}
    bundle = open_bundle(rewritten(tiny_bundle, tmp_path / "b.vxb", broken))
    with pytest.raises(
        HostError, match="model neutrophil: the engine returned encodings that are not"
    ):
        score_case(read_case(tiny_case), bundle)


def test_progress_counts_every_cell_of_every_model(
    score: Callable[..., CaseScore], tiny_case: Path
) -> None:
    seen: list[tuple[str, int, int]] = []
    score(tiny_case, chunk_cells=5, progress=lambda *step: seen.append(step))
    assert [step for step in seen if step[0] == "neutrophil read"] == [
        ("neutrophil read", n, 12) for n in range(1, 13)
    ]
    assert [step for step in seen if not step[0].endswith(" read")] == [
        ("neutrophil", 5, 12),
        ("neutrophil", 10, 12),
        ("neutrophil", 12, 12),
        ("monocyte", 5, 9),
        ("monocyte", 9, 9),
        ("lymphocyte", 3, 3),
    ]


def test_images_are_kept_up_to_a_bound_and_decoded_again_beyond_it(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = write_case(tmp_path, neutrophil=300)
    whole = score_case(read_case(case), sessions.bundle, sessions, chunk_cells=10)
    held: weakref.WeakSet[Any] = weakref.WeakSet()
    counts: list[int] = []

    def watched(*given: Any) -> DecodedCell:
        cell = decode_cell(*given)
        held.add(pixels := there(cell.pixels).view(Watched))
        counts.append(len(held))
        return replace(cell, pixels=pixels)

    monkeypatch.setattr(reading, "decode_cell", watched)
    monkeypatch.setattr(smears, "KEPT_BYTES", 30 * 14 * 14 * 3)
    bounded = score_case(read_case(case), sessions.bundle, sessions, chunk_cells=10)
    assert bounded.models == whole.models
    assert 480 < len(counts) < 570  # all once, and those that were not kept once more
    assert 30 < max(counts) <= 120 + 10 * sessions.fused("neutrophil").threads + 1


def test_a_cell_that_changes_while_its_case_is_scored_fails_it(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = write_case(tmp_path, neutrophil=12)
    cell = case / "neutrophil" / "3.bmp"
    pixels = cell_pixels(7)
    Image.fromarray(pixels).save(cell)
    monkeypatch.setattr(smears, "KEPT_BYTES", 0)

    def change(model: str, done: int, total: int) -> None:
        if (model, done) == ("neutrophil read", total):
            Image.fromarray(pixels[::-1].copy()).save(cell)  # a file of the same size

    with pytest.raises(InputError, match=r"3\.bmp changed while its case was being scored"):
        score_case(read_case(case), sessions.bundle, sessions, progress=change)


class Watched(np.ndarray):
    """An array that can be counted."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


def test_a_call_is_bounded_in_pixels_and_cells() -> None:
    calls = {
        px: cells_per_call(EngineOptions(device="cpu"), images_tensor(px))
        for px in (8, 112, 272, 400, 4096)
    }
    assert calls == {8: 32, 112: 23, 272: 4, 400: 1, 4096: 1}


def test_every_thread_gets_some_cells(tiny_bundle: Path) -> None:
    options = EngineOptions(device="cpu", threads=4)
    with Sessions(open_bundle(tiny_bundle), options) as four:
        sizes = [encoding.chunk_size(four, "neutrophil", n) for n in (1, 4, 5, 40, 1000)]
    assert sizes == [1, 1, 2, 10, 32]


def test_an_exact_copy_in_another_call_counts_once(
    sessions: Sessions, tiny_case: Path, tmp_path: Path
) -> None:
    case = shutil.copytree(tiny_case, tmp_path / "P1")
    first = sorted((case / "neutrophil").iterdir())[0]
    shutil.copy(first, case / "neutrophil" / "zz.png")
    plain, copied = (
        score_case(read_case(folder), sessions.bundle, sessions, chunk_cells=5)
        for folder in (tiny_case, case)
    )
    assert [cell.path for cell in copied.duplicates] == ["neutrophil/zz.png"]
    assert [m.score for m in copied.models] == [m.score for m in plain.models]
    assert [m.n_cells for m in copied.models] == [m.n_cells for m in plain.models]


def test_an_engine_of_another_bundle_is_refused(
    sessions: Sessions, tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    other = open_bundle(rewritten(tiny_bundle, tmp_path / "b.vxb", version="2.0.0"))
    with pytest.raises(UsageError, match="the sessions are those of another bundle"):
        score_case(read_case(tiny_case), other, sessions)
