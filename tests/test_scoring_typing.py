"""Cells that nobody has named: a model names them, and they go to the models of their class."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import Ended, kept, png, recorded, there, write_case
from tiny_types import CLASS_OF_TINT, types_bundle, write_tinted

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.graphs import FUSED
from vexas_edge.errors import UsageError
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.ledger.derived.rebuilding import rebuild_tables
from vexas_edge.results.values import CaseScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring import encoding, score
from vexas_edge.scoring.encoded import Encoded
from vexas_edge.scoring.images.reading import ReadCells
from vexas_edge.smear.options import ReadOptions

Command = Callable[..., Ended]
FLAT = ReadOptions(unnamed=True)


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return types_bundle(tmp_path_factory.mktemp("types"))


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A folder of cells without any class, of each tint in turn."""
    write_tinted(tmp_path / "P1", 45)
    return tmp_path / "P1"


def scored(smear: Path, bundle: Path, types: Path, chunk_cells: int | None = None) -> CaseScore:
    with (
        Sessions(open_bundle(bundle), types=open_bundle(types)) as sessions,
        read_case(smear, FLAT) as case,
    ):
        return score_case(case, sessions.bundle, sessions, chunk_cells=chunk_cells)


def test_nameless_cells_are_named_and_scored_by_the_models_of_their_class(
    flat: Path, tiny_bundle: Path, types: Path
) -> None:
    result = scored(flat, tiny_bundle, types)
    assert (there(result.typing).n_asked, there(result.typing).models) == (45, ("leukocyte",))
    truth = {f"{i}.png": CLASS_OF_TINT[i % 3] for i in range(45)}
    given = {cell.path: cell for cell in result.typed_cells if cell.named_by == "model"}
    right = [cell.cell_class == truth[path] for path, cell in given.items()]
    assert there(result.typing).n_named == len(given) > 30
    assert np.mean(right) > 0.8
    for model in result.models:
        own = {cell.path for cell in model.cells if cell.status == "used"}
        wanted = {"neutrophil": "neutrophil_segmented"}.get(model.model, model.model)
        assert own == {path for path, cell in given.items() if cell.cell_class == wanted}
        assert model.n_typed == model.n_cells == len(own)
        assert model.typing_unjudged
        assert model.status == "scored"
    assert there(result.types).sha256 == open_bundle(types).sha256
    assert result.classes == {}
    assert result.ignored == {}


def test_each_cell_says_what_a_model_took_it_for_and_how_sure_it_was(
    flat: Path, tiny_bundle: Path, types: Path
) -> None:
    result = scored(flat, tiny_bundle, types)
    for cell in result.typed_cells:
        assert cell.predicted_class in CLASS_OF_TINT
        assert (cell.named_by == "model") == (there(cell.probability) >= 0.5)
        assert cell.cell_class == (cell.predicted_class if cell.named_by == "model" else "")
    assert {cell.named_by for cell in result.typed_cells} <= {"model", "nobody"}


def test_a_score_of_nameless_cells_is_that_of_the_same_cells_in_class_folders(
    flat: Path, tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    blind = scored(flat, tiny_bundle, types)
    for cell in blind.typed_cells:
        if cell.cell_class:
            folder = tmp_path / "signed" / "P1" / cell.cell_class
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(flat / cell.path, folder)
    with read_case(tmp_path / "signed" / "P1") as case:
        signed = score_case(case, open_bundle(tiny_bundle))
    assert [m.score for m in blind.models] == [m.score for m in signed.models]
    assert all(m.score is not None for m in blind.models)
    assert not any(m.n_typed or m.typing_unjudged for m in signed.models)


def test_chunks_and_names_of_files_move_no_bit(
    flat: Path, tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "P1"
    other.mkdir(parents=True)
    for i, path in enumerate(sorted(flat.iterdir(), reverse=True)):
        shutil.copy(path, other / f"x{i:03}.png")
    results = [scored(flat, tiny_bundle, types, chunk) for chunk in (1, 7, None)]
    results.append(scored(other, tiny_bundle, types))
    said = [
        {cell.identity: (cell.cell_class, cell.probability) for cell in one.typed_cells}
        for one in results
    ]
    assert all(one == said[0] for one in said)
    assert len({tuple(m.score for m in one.models) for one in results}) == 1


def test_a_class_that_names_say_is_never_changed(
    tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    """Lymphocytes by tint that the analyzer calls monocytes stay monocytes."""
    write_tinted(tmp_path / "P1" / "monocyte", 12, seed=1, tint=2)
    result = scored(tmp_path / "P1", tiny_bundle, types)
    monocyte = {m.model: m for m in result.models}["monocyte"]
    assert monocyte.n_cells == 12
    assert monocyte.n_typed == 0
    assert {cell.named_by for cell in monocyte.cells} == {"folder"}
    assert result.typing is None


def test_a_nameless_copy_of_a_named_cell_counts_once_whatever_its_class(
    tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    smear = tmp_path / "P1"
    signed = write_tinted(smear / "Signed slides" / "Monocyte", 12, seed=1, tint=1)
    blasts = write_tinted(smear / "Signed slides" / "Blast, no lineage spec", 3, seed=2, tint=0)
    unsigned = write_tinted(smear / "Unsigned slides", 6, seed=3)
    for i, path in enumerate((*signed[:2], *blasts)):
        shutil.copy(path, smear / "Unsigned slides" / f"copy{i}.png")
    result = scored(smear, tiny_bundle, types)
    assert there(result.typing).n_asked == len(unsigned)
    copies = [cell for cell in result.typed_cells if cell.status == "duplicate"]
    assert len(copies) == 5
    assert len(result.duplicates) == 5
    counts = {name: count.n for name, count in result.differential.items()}
    assert counts["blast"] == 3
    named = Counter(cell.cell_class for cell in result.typed_cells if cell.named_by == "model")
    assert counts["monocyte"] == 12 + named["monocyte"]
    assert result.differential["monocyte"].n_by_model == named["monocyte"]


def test_an_image_larger_than_any_cell_is_not_shown_to_the_model(
    flat: Path, tiny_bundle: Path, types: Path
) -> None:
    rng = np.random.default_rng(0)
    (flat / "overview.png").write_bytes(png(rng.integers(0, 255, (30, 40, 3), np.uint8)))
    result = scored(flat, tiny_bundle, types)
    assert (there(result.typing).n_asked, there(result.typing).n_too_large) == (45, 1)
    (cell,) = result.rejected
    assert (cell.path, cell.reason, cell.cell_class) == ("overview.png", "not_one_cell", "")


def test_a_cell_that_the_model_is_not_sure_of_has_no_name_and_no_part_in_a_score(
    flat: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    result = scored(flat, tiny_bundle, types_bundle(tmp_path, {"monocyte": 0.9}))
    assert {cell.cell_class for cell in result.typed_cells} == {"monocyte", ""}
    assert 0 < there(result.typing).n_named < 15
    by_name = {model.model: model for model in result.models}
    assert by_name["monocyte"].n_cells == there(result.typing).n_named
    assert by_name["lymphocyte"].reasons == ("too_few_cells",)


def test_few_cells_that_a_model_named_are_told_and_not_warned_of(
    tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    smear = tmp_path / "P1"
    write_case(smear / "Signed slides", monocyte=30)
    write_tinted(smear / "Unsigned slides", 2, seed=3, tint=1)
    result = scored(smear, tiny_bundle, types)
    monocyte = {m.model: m for m in result.models}["monocyte"]
    assert monocyte.n_typed == 2
    assert monocyte.n_cells == 32
    assert not monocyte.typing_unjudged


def test_unreadable_nameless_images_are_told_by_name(
    flat: Path, tiny_bundle: Path, types: Path
) -> None:
    (flat / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    result = scored(flat, tiny_bundle, types)
    assert [cell.path for cell in result.unreadable] == ["broken.png"]


def test_the_differential_gives_every_share_with_its_interval(
    flat: Path, tiny_bundle: Path, types: Path
) -> None:
    result = scored(flat, tiny_bundle, types)
    total = sum(count.n for count in result.differential.values())
    assert total == there(result.typing).n_named
    for count in result.differential.values():
        assert count.share == pytest.approx(count.n / total)
        assert 0 <= there(count.low) < count.n / total < there(count.high) <= 1


def test_a_bundle_that_names_cells_alone_gives_the_count(
    vexas_edge: Command, flat: Path, types: Path, tmp_path: Path
) -> None:
    ended = vexas_edge("score", flat, "--bundle", types, "-o", tmp_path / "out")
    assert ended.status == 0
    assert "lymphocyte" in ended.out
    assert " %)" in ended.out
    result = kept(tmp_path / "out", "P1")
    assert result["status"] == "scored"
    assert result["models"] == []
    assert result["bundle"]["positive"] is None
    page = next((tmp_path / "out" / "reports").iterdir()).read_text()
    assert "A count of cells by class" in page
    assert "Cells by class" in page


def test_results_of_nameless_cells_are_sound_kept_and_replayed(
    vexas_edge: Command, flat: Path, tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("score", flat, "--bundle", tiny_bundle, "--types-from", types, "-o", out)
    ended = vexas_edge(*arguments)
    assert ended.status == 0, ended.err
    assert "of 45 cells without a class a model named" in ended.err
    assert "nobody has judged its scores on such cells" in ended.err
    assert problems_of_folder(out) == []
    rebuild_tables(out)
    assert problems_of_folder(out) == []
    assert vexas_edge(*arguments).out == ended.out
    assert recorded(out, "started")["types"]["name"] == "types"
    (result,) = (out / "cases").iterdir()
    again = ("replay", result, "--input", flat, "--bundle", tiny_bundle)
    assert vexas_edge(*again, "--types-from", types).status == 0
    without = vexas_edge(*again)
    assert without.status == 2
    assert "name that bundle with --types-from" in without.err


def test_hashed_ids_hide_the_paths_of_nameless_cells(
    vexas_edge: Command, flat: Path, tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("a secret of some length")
    out = tmp_path / "out"
    options = ("--types-from", types, "--hash-ids", tmp_path / "key", "-o", out)
    assert vexas_edge("score", flat, "--bundle", tiny_bundle, *options).status == 0
    assert problems_of_folder(out) == []
    text = next((out / "cases").iterdir()).read_text()
    assert ".png" not in text
    assert '"unnamed/' in text.replace(" ", "")


def test_files_with_a_counter_or_a_word_for_a_name_are_nameless_too(
    flat: Path, tiny_bundle: Path, types: Path
) -> None:
    for path in sorted(flat.iterdir()):
        path.rename(flat / f"IMG_{int(path.stem):04}.png")
    result = scored(flat, tiny_bundle, types)
    assert there(result.typing).n_asked == 45


def test_signed_smears_are_told_apart_by_a_bundle_that_names_cells_alone(
    vexas_edge: Command, types: Path, tmp_path: Path
) -> None:
    for name, (folder, tint) in {"A": ("monocyte", 1), "B": ("lymphocyte", 2)}.items():
        write_tinted(tmp_path / name / folder, 12, seed=tint, tint=tint)
    out = tmp_path / "out"
    for name in ("A", "B"):
        ended = vexas_edge("score", tmp_path / name, "--bundle", types, "-o", out)
        assert "the same cells" not in ended.err
    assert set(kept(out, "B")["differential"]) == {"lymphocyte"}
    shutil.rmtree(tmp_path / "A" / "monocyte")
    write_tinted(tmp_path / "A" / "lymphocyte", 20, seed=7, tint=2)
    again = vexas_edge("score", tmp_path / "A", "--bundle", types, "-o", out)
    assert "lymphocyte 20 (100 %)" in again.out
    assert problems_of_folder(out) == []


def test_a_held_count_is_not_shown(vexas_edge: Command, types: Path, tmp_path: Path) -> None:
    write_tinted(tmp_path / "A", 24)
    shutil.copytree(tmp_path / "A", tmp_path / "B")
    for path in list((tmp_path / "B").iterdir())[:8]:
        path.unlink()
    out = tmp_path / "out"
    first = vexas_edge("score", tmp_path / "A", "--bundle", types, "-o", out)
    assert "%" in first.out
    held = vexas_edge("score", tmp_path / "B", "--bundle", types, "-o", out)
    assert "B: abstained: held" in held.out
    assert "%" not in held.out
    page = next((out / "reports" / "held").iterdir()).read_text()
    assert "filed under another case" in page
    assert "Cells by class" not in page


def test_unreadable_copies_stay_unreadable_where_an_answer_is_taken_over(
    vexas_edge: Command, flat: Path, tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    for name in ("x", "y"):
        (flat / f"{name}.png").write_bytes(b"nothing " + name.encode())
    shutil.copytree(flat, tmp_path / "P2")
    (tmp_path / "P2" / "x.png").rename(tmp_path / "P2" / "z.png")
    out = tmp_path / "out"
    for smear in (flat, tmp_path / "P2"):
        vexas_edge("score", smear, "--bundle", tiny_bundle, "--types-from", types, "-o", out)
    assert len(kept(out, "P1")["unreadable"]) == len(kept(out, "P2")["unreadable"]) == 2


def test_the_count_allows_for_cells_without_a_name(
    flat: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    result = scored(flat, tiny_bundle, types_bundle(tmp_path, {"monocyte": 0.6}))
    (count,) = result.differential.values()
    assert count.share == 1.0
    assert there(count.low) < count.n / 45 < 1.0 == pytest.approx(count.high, abs=1e-9)


def test_commands_about_patients_say_that_there_are_none(vexas_edge: Command, types: Path) -> None:
    ended = vexas_edge("bench", "--bundle", types)
    assert (ended.status, "scores no patients" in ended.err) == (2, True)


def test_without_a_model_that_names_cells_they_are_left_out_as_before(
    vexas_edge: Command, flat: Path, tiny_bundle: Path
) -> None:
    ended = vexas_edge("score", flat, "--bundle", tiny_bundle)
    assert ended.status == 5
    assert "no_class 45" in ended.err
    assert "--types-from" in ended.err


def test_a_bundle_without_such_a_model_is_refused(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    with pytest.raises(UsageError, match="holds no model that names cells"):
        Sessions(bundle, types=bundle)


def test_the_self_test_of_a_bundle_that_names_cells_passes(
    vexas_edge: Command, types: Path
) -> None:
    ended = vexas_edge("verify", types)
    assert ended.status == 0, ended.err
    assert "leukocyte head.onnx: agrees" in ended.out
    inspected = vexas_edge("inspect", types).out
    assert "names cells that have no class, each for itself" in inspected
    assert "lymphocyte from 0.50" in inspected


def test_near_copies_of_named_cells_are_known_though_saved_otherwise(
    tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    smear = tmp_path / "P1"
    signed = write_tinted(smear / "Signed slides" / "Monocyte", 12, seed=1, tint=1)
    (smear / "Unsigned slides").mkdir()
    with Image.open(signed[0]) as image:
        image.convert("RGB").save(
            smear / "Unsigned slides" / "again.jpg", quality=98, subsampling=0
        )
    result = scored(smear, tiny_bundle, types)
    (cell,) = result.typed_cells
    assert (cell.status, cell.reason) == ("duplicate", "nearly_same_pixels")


def test_an_encoder_that_both_models_have_sees_each_cell_once(
    flat: Path, tiny_bundle: Path, types: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny model of neutrophils has the encoder that names cells; the others have their own."""
    seen: Counter[str] = Counter()
    whole = encoding.encode_cells

    def counting(read: ReadCells, name: str, *others: Any) -> Encoded:
        known = others[3] if len(others) > 3 else {}
        seen[name] += sum(cell.record.identity not in known for cell in read.distinct)
        return whole(read, name, *others)

    monkeypatch.setattr(encoding, "encode_cells", counting)
    monkeypatch.setattr(score, "encode_cells", counting)
    result = scored(flat, tiny_bundle, types)
    by_name = {model.model: model for model in result.models}
    assert seen["leukocyte"] == 45
    assert seen["neutrophil"] == 0
    assert seen["lymphocyte"] == by_name["lymphocyte"].n_cells > 0
    assert by_name["neutrophil"].status == "scored"


def test_encoders_that_differ_have_different_hashes(tiny_bundle: Path, types: Path) -> None:
    models = open_bundle(tiny_bundle).manifest.models
    hashes = [model.files[FUSED].encoder for model in models.values()]
    assert len(set(hashes)) == 3
    naming = open_bundle(types).manifest.typing["leukocyte"]
    assert naming.files[FUSED].encoder == models["neutrophil"].files[FUSED].encoder
