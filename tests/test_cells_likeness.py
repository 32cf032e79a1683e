"""Images that show the same cell again are known, and others are not taken for the same."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import png

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.cells.likeness import near_copies, shows_nothing, signature_of


def cell(seed: int, side: int = 96) -> np.ndarray:
    """A cell of its own outline on a pale slide with red cells around, uint8 (side, side, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    pixels = np.full((side, side, 3), (245, 228, 210), float)
    for _ in range(6):
        top, left = rng.uniform(-0.5, 0.5, 2)
        pixels[np.hypot(y - top, x - left) < 0.12] = (225, 150, 140)
    angle, tilt = np.arctan2(y, x), rng.uniform(0, 6)
    pixels[np.hypot(y, x) < 0.27 + 0.05 * np.sin(3 * angle + tilt)] = (170, 150, 210)
    pixels[np.hypot(y + 0.07 * np.sin(tilt), x + 0.07 * np.cos(tilt)) < 0.15] = (90, 50, 130)
    return np.clip(rng.normal(pixels, 3), 0, 255).astype(np.uint8)


def saved(pixels: np.ndarray) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=30)
    return rgb_from_bytes(file.getvalue())


def noisy(pixels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 15, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "saved": saved,
    "noisy": noisy,
    "brighter": lambda pixels: np.minimum(pixels, 247) + np.uint8(8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_cell_again_is_known(change: str) -> None:
    cells = [cell(seed) for seed in range(8)]
    again = [CHANGES[change](pixels) for pixels in cells[2:5]]
    found = near_copies([signature_of(pixels) for pixels in (*cells, *again)])
    assert found == {8: 2, 9: 3, 10: 4}


def test_drawn_cells_that_differ_are_all_kept() -> None:
    assert near_copies([signature_of(cell(seed)) for seed in range(60)]) == {}


@pytest.mark.real_data
def test_no_two_real_cells_are_taken_for_one_and_none_for_nothing(shared_data: Path) -> None:
    files = sorted((shared_data / "lymphocytosis").glob("P*/*.jpg"))[:600]
    signatures = [signature_of(rgb_from_bytes(file.read_bytes())) for file in files]
    assert near_copies(signatures) == {}
    assert not any(map(shows_nothing, signatures))


@pytest.mark.parametrize("kind", ["blank", "noise", "stripes"])
def test_images_of_nothing_are_no_cells_and_give_no_score(
    tiny_bundle: Path, tmp_path: Path, kind: str
) -> None:
    """The camera's noise makes each of them distinct, and none of them is empty."""
    folder = tmp_path / "S" / "monocyte"
    folder.mkdir(parents=True)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pixels = np.full((120, 120, 3), (236, 205, 214), float)
        pixels[::8] -= 60 if kind == "stripes" else 0
        noise = rng.normal(0, 25 if kind == "noise" else 4, pixels.shape)
        (folder / f"{seed}.png").write_bytes(png(np.clip(pixels + noise, 0, 255).astype(np.uint8)))
    with read_case(tmp_path / "S") as case:
        result = score_case(case, open_bundle(tiny_bundle))
    model = next(model for model in result.models if model.model == "monocyte")
    assert (model.status, model.n_cells, model.n_rejected) == ("abstained", 0, 40)
    assert {cell.reason for cell in result.rejected} == {"empty"}
    assert model.explanations[0].startswith("0 cells can be used (beside 40 rejected)")


def test_one_cell_with_other_noise_each_time_is_one_cell(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "S" / "monocyte"
    folder.mkdir(parents=True)
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(0, 6, cell(0).shape)
        noisy = np.clip(cell(0) + noise, 0, 255).astype(np.uint8)
        (folder / f"{seed}.png").write_bytes(png(noisy))
    with read_case(tmp_path / "S") as case:
        result = score_case(case, open_bundle(tiny_bundle))
    model = next(model for model in result.models if model.model == "monocyte")
    assert (model.status, model.n_cells, model.score) == ("abstained", 1, None)
    assert model.explanations[0].startswith("1 cell can be used (beside 39 copies of others)")
    assert {found.reason for found in result.duplicates} == {"nearly_same_pixels"}
    assert "shows the same as monocyte/" in result.duplicates[0].detail


def test_which_copy_is_kept_does_not_depend_on_names(tiny_bundle: Path, tmp_path: Path) -> None:
    cells = [cell(seed, 16) for seed in range(12)]
    images = [*cells, *(pixels + np.uint8(1) * (pixels < 250) for pixels in cells[:4])]
    scores = []
    for name, order in (("a", images), ("b", images[::-1])):
        folder = tmp_path / name / "monocyte"
        folder.mkdir(parents=True)
        for number, pixels in enumerate(order):
            (folder / f"{number:02}.png").write_bytes(png(pixels))
        with read_case(tmp_path / name) as case:
            scores.append(score_case(case, open_bundle(tiny_bundle)).models[1])
    assert [score.n_cells for score in scores] == [12, 12]
    assert scores[0].score == scores[1].score
