"""A smear that is unlike those that a model was fitted on gets no names."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tiny import Ended, cell_pixels, encodings_of, kept, on_canvas, png, there
from tiny_types import CLASS_OF_TINT, kernels, types_bundle, write_tinted

from training.typing.familiarity import familiar_from_shape, fitted_shape
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.graphs import FAMILIAR
from vexas_edge.errors import BundleError
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.results.values import CaseScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.smear.options import ReadOptions
from vexas_edge.typing.familiar import (
    Familiar,
    bytes_from_familiar,
    distances,
    familiar_from_bytes,
)

Command = Callable[..., Ended]


def drawn(n: int, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Encodings of two classes that vary along few directions, and the class of each."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    mixing = np.random.default_rng(9).normal(size=(6, 6))
    encodings = rng.normal(size=(n, 6)) @ mixing + 10 * truth[:, None] + shift
    return encodings.astype(np.float32), truth


def test_distances_are_about_one_within_classes_whatever_their_spread() -> None:
    encodings, truth = drawn(2000)
    shape = fitted_shape(encodings, truth)
    within = distances(drawn(500, seed=1)[0], *shape)
    assert np.sqrt(np.mean(np.square(within))) == pytest.approx(1.0, abs=0.3)
    assert np.median(distances(drawn(500, shift=20.0)[0], *shape)) > 2
    none = np.full(len(truth), -1)
    both = fitted_shape(np.concatenate([encodings, encodings + 50]), np.concatenate([truth, none]))
    assert all(np.array_equal(one, other) for one, other in zip(shape, both, strict=True))


def test_the_limit_is_above_nearly_all_patients_that_were_held_out() -> None:
    rng = np.random.default_rng(0)
    owners = [f"P{i // 20}" for i in range(20 * 60)]
    held_out = np.exp(np.repeat(rng.normal(0, 0.1, 60), 20) + rng.normal(0, 0.3, 1200))
    encodings, truth = drawn(1200)
    shape = fitted_shape(encodings, truth)
    found = there(familiar_from_shape(shape, held_out, owners))
    medians = np.median(held_out.reshape(60, 20), axis=1)
    assert found.n_cases == 60
    assert np.quantile(medians, 0.95) < found.farthest < 1.3 * medians.max()
    assert familiar_from_shape(shape, held_out[:180], owners[:180]) is None  # nine patients
    few = [f"P{i // 9}" for i in range(1200)]  # of nine cells each
    assert familiar_from_shape(shape, held_out, few) is None


def test_few_cells_say_nothing_of_a_smear() -> None:
    encodings, truth = drawn(200)
    means, whitening = fitted_shape(encodings, truth)
    familiar = Familiar(means=means, whitening=whitening, farthest=1.5, n_cases=20)
    assert familiar.strangeness(encodings[:9]) is None
    assert not there(familiar.strangeness(encodings[:10])).is_strange
    assert there(familiar.strangeness(encodings[:10] + 99)).is_strange


def test_what_was_written_is_read_and_what_is_damaged_is_refused() -> None:
    encodings, truth = drawn(200)
    means, whitening = fitted_shape(encodings, truth)
    familiar = Familiar(means=means, whitening=whitening, farthest=1.5, n_cases=20)
    content = bytes_from_familiar(familiar)
    again = familiar_from_bytes(content, 6)
    assert bytes_from_familiar(again) == content
    arrays = dict(np.load(BytesIO(content)))
    for wrong in (
        {"means": np.full_like(means, np.nan)},
        {"whitening": whitening.astype(np.float64)},
        {"farthest": np.array(-1.0)},
        {"schema": np.array(9)},
        {"means": means[0]},
    ):
        file = BytesIO()
        np.savez(file, **{**arrays, **wrong})
        with pytest.raises(BundleError, match=r"familiar\.npz"):
            familiar_from_bytes(file.getvalue(), 6)
    with pytest.raises(BundleError, match="is of encodings of 6, and the model's have 512"):
        familiar_from_bytes(content, 512)
    with pytest.raises(BundleError, match="cannot be read"):
        familiar_from_bytes(content[:100], 6)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that names cells by tint, and knows what they look like."""
    folder = tmp_path_factory.mktemp("guarded")
    tints = np.arange(300) % 3
    cells = np.stack([on_canvas(cell_pixels(5000 + i, int(t))) for i, t in enumerate(tints)])
    means, whitening = fitted_shape(encodings_of(kernels(), cells), tints)
    familiar = Familiar(means=means, whitening=whitening, farthest=1.6, n_cases=20)
    (folder / "f.npz").write_bytes(bytes_from_familiar(familiar))
    return types_bundle(folder, familiar="f.npz")


def scored(smear: Path, bundle: Path, types: Path) -> CaseScore:
    with (
        Sessions(open_bundle(bundle), types=open_bundle(types)) as sessions,
        read_case(smear, ReadOptions(unnamed=True)) as case,
    ):
        return score_case(case, sessions.bundle, sessions)


def write_strange(folder: Path, n: int) -> Path:
    """Cells that nothing was fitted on: large and red."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        pixels = np.clip(rng.normal((250, 10, 10), 20, (14, 14, 3)), 0, 255).astype(np.uint8)
        (folder / f"{i}.png").write_bytes(png(pixels))
    return folder


def test_cells_of_a_strange_smear_get_no_names_and_no_score(
    vexas_edge: Command, guarded: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    write_tinted(tmp_path / "P1", 45)
    known = scored(tmp_path / "P1", tiny_bundle, guarded)
    assert not there(there(known.typing).strangeness).is_strange
    assert there(known.typing).n_named > 30
    strange = write_strange(tmp_path / "P2", 40)
    found = scored(strange, tiny_bundle, guarded)
    assert there(there(found.typing).strangeness).is_strange
    assert there(found.typing).n_named == 0
    assert {cell.named_by for cell in found.typed_cells} == {"nobody"}
    assert all(cell.predicted_class for cell in found.typed_cells if cell.status == "used")
    assert found.status == "abstained"
    assert {model.reasons for model in found.models} == {("cells_not_named",)}
    out = tmp_path / "out"
    ended = vexas_edge(
        *("score", strange, "--bundle", tiny_bundle, "--types-from", guarded, "-o", out)
    )
    assert "P2: none of its 40 cells without a class is named, since they look unlike" in ended.err
    page = next((out / "reports").iterdir()).read_text()
    assert "look unlike those that the model was fitted on" in page
    assert problems_of_folder(out) == []
    assert kept(out, "P2")["typing"]["strangeness"]["farthest"] == 1.6


def test_named_cells_of_a_strange_smear_are_not_named_otherwise(
    vexas_edge: Command, guarded: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    write_strange(tmp_path / "P1" / "monocyte", 20)
    ended = vexas_edge(
        *("score", tmp_path / "P1", "--bundle", tiny_bundle, "--types-from", guarded),
        *("--retype", "-o", tmp_path / "out"),
    )
    assert "cells with a class look unlike those" in ended.err
    assert kept(tmp_path / "out", "P1")["retyping"]["n_sure"] == 0


def test_the_bundle_says_whether_it_knows_strange_smears(
    vexas_edge: Command, vexas_workshop: Command, guarded: Path, tmp_path: Path
) -> None:
    assert "names no cell of a smear that is unlike" in vexas_edge("inspect", guarded).out
    assert vexas_edge("verify", guarded).status == 0
    plain = types_bundle(tmp_path)
    assert "names cells of any smear" in vexas_edge("inspect", plain).out
    assert FAMILIAR not in open_bundle(plain).manifest.typing["leukocyte"].files
    smear = tmp_path / "S"
    for tint, name in enumerate(CLASS_OF_TINT):
        write_tinted(smear / name, 10, seed=tint, tint=tint)
    write_strange(tmp_path / "T" / "monocyte", 20)
    (tmp_path / "sources.toml").write_text(
        '[sources.known]\nfolder = "S"\n[sources.strange]\nfolder = "T"\n'
    )
    out = tmp_path / "judged"
    ended = vexas_workshop("train", "types", guarded, tmp_path / "sources.toml", "-o", out)
    assert "no cell is named of 1 that are unlike those fitted on: strange" in ended.out
    found = json.loads((out / "typing.json").read_text())
    assert found["unlike"] == ["strange"]


def test_a_file_that_is_none_is_refused_by_the_export(tmp_path: Path) -> None:
    (tmp_path / "f.npz").write_bytes(b"nothing")
    with pytest.raises(Exception, match=r"f\.npz: familiar\.npz cannot be read"):
        types_bundle(tmp_path, familiar="f.npz")


def test_an_svm_that_saw_no_cell_of_a_class_never_says_it() -> None:
    from training.typing.learning import class_probabilities

    rows = np.random.default_rng(0).normal(size=(30, 4))
    fitted = LogisticRegression().fit(rows, np.array(["lymphocyte", "monocyte"])[np.arange(30) % 2])
    said = class_probabilities(fitted, rows, ("basophil", "lymphocyte", "monocyte"))
    assert (said[:, 0] == 0).all()
    assert said.sum(axis=1) == pytest.approx(np.ones(30))
