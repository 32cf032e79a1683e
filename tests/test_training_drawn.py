"""Made-up smears: determined by their seeds, told apart by the phenotype, laid out as an export."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tiny import there

from training.drawn.paint import CellTraits, Stain, paint_cell
from training.drawn.scenery import CROP_PX, paint_crop
from training.drawn.smears import (
    CELL_TYPES,
    CellType,
    Phenotype,
    SmearCell,
    draw_patient,
    draw_traits,
    morphology_of,
    synthesize_smear,
    write_smear,
)
from vexas_edge.errors import UsageError

ONE_OF_EACH = dict.fromkeys(CELL_TYPES, 1)


def smear(
    patient_seed: int = 1,
    phenotype: Phenotype = "vexas",
    strength: float = 1.0,
    n_cells: Mapping[CellType, int] = ONE_OF_EACH,
) -> list[SmearCell]:
    return synthesize_smear(patient_seed, phenotype, strength, n_cells)


def same_pixels(one: list[SmearCell], other: list[SmearCell]) -> bool:
    return all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True))


def traits_of_many(cell_type: CellType, phenotype: Phenotype, strength: float) -> list[CellTraits]:
    morphology = morphology_of(cell_type, phenotype, strength)
    rng = np.random.default_rng(0)
    return [draw_traits(morphology, draw_patient(seed), rng) for seed in range(300)]


def mean_of(traits: list[CellTraits], name: str) -> float:
    return float(np.mean([getattr(cell, name) for cell in traits]))


def test_the_same_seed_gives_the_same_cells() -> None:
    assert same_pixels(smear(), smear())


def test_another_patient_looks_different() -> None:
    assert not same_pixels(smear(), smear(patient_seed=2))


def test_a_larger_smear_begins_with_the_same_cells() -> None:
    larger = smear(n_cells={"neutrophil": 3})
    assert np.array_equal(larger[0].pixels, smear()[0].pixels)
    assert [cell.index for cell in larger] == [0, 1, 2]


def test_strength_zero_leaves_no_difference() -> None:
    assert same_pixels(smear(strength=0.0), smear(strength=0.0, phenotype="control"))
    assert not same_pixels(smear(), smear(phenotype="control"))


def test_the_control_does_not_depend_on_the_strength() -> None:
    assert same_pixels(smear(phenotype="control"), smear(phenotype="control", strength=0.0))


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(UsageError, match=f"strength is {strength}"):
        smear(strength=strength)


@pytest.mark.parametrize(
    ("cell_type", "smallest", "largest"),
    [("neutrophil", 95, 140), ("monocyte", 105, 165), ("lymphocyte", 65, 105)],
)
def test_cells_have_their_types_size(cell_type: CellType, smallest: int, largest: int) -> None:
    for cell in smear(n_cells={cell_type: 20}):
        assert cell.pixels.dtype == np.uint8
        assert cell.pixels.shape[2] == 3
        assert all(smallest <= side <= largest for side in cell.pixels.shape[:2])


def test_a_cell_fills_its_box_and_the_rest_is_black() -> None:
    for cell in smear():
        touched = np.any(cell.pixels, axis=2)
        corners = cell.pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert not corners.any()
        assert touched.any(axis=0).all()
        assert touched.any(axis=1).all()
        assert 0.6 < touched.mean() < 0.9


def test_vexas_neutrophils_have_vacuoles_and_fewer_lobes_and_granules() -> None:
    control = traits_of_many("neutrophil", "control", 1.0)
    halfway = traits_of_many("neutrophil", "vexas", 0.5)
    vexas = traits_of_many("neutrophil", "vexas", 1.0)
    vacuoles = [mean_of(traits, "vacuoles") for traits in (control, halfway, vexas)]
    lobes = [mean_of(traits, "lobes") for traits in (control, halfway, vexas)]
    granules = [mean_of(traits, "granules_per_px") for traits in (control, halfway, vexas)]
    np.testing.assert_allclose(vacuoles, [0.4, 2.2, 4.0], rtol=0.25)
    np.testing.assert_allclose(lobes, [3.4, 2.9, 2.4], rtol=0.05)
    np.testing.assert_allclose(granules, [0.105, 0.068, 0.031], rtol=0.1)


def test_neutrophils_have_two_to_five_lobes_and_the_others_one() -> None:
    assert {cell.lobes for cell in traits_of_many("neutrophil", "control", 0.0)} == {2, 3, 4, 5}
    assert {cell.lobes for cell in traits_of_many("monocyte", "control", 0.0)} == {1}


def test_vacuoles_are_seen_as_bright_spots() -> None:
    traits = replace(traits_of_many("monocyte", "control", 0.0)[0], vacuoles=0)
    bright = [
        np.mean(paint_cell(replace(traits, vacuoles=n), Stain(), np.random.default_rng(5)) > 215)
        for n in (0, 8)
    ]
    assert bright[1] > bright[0] + 0.005


def test_files_are_named_as_an_analyzer_names_them(tmp_path: Path) -> None:
    paths = write_smear(tmp_path, smear(n_cells={"neutrophil": 2, "monocyte": 1, "lymphocyte": 1}))
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "Signed slides/Segmented neutrophils/SNE_000001.png",
        "Signed slides/Segmented neutrophils/SNE_000002.png",
        "Signed slides/Monocyte/MO_000001.png",
        "Signed slides/Lymphocyte/LY_000001.png",
    ]


def test_files_say_that_they_are_synthetic_and_keep_black_black(tmp_path: Path) -> None:
    cells = smear()
    for cell, path in zip(cells, write_smear(tmp_path, cells), strict=True):
        with Image.open(path) as image:
            assert image.info["Comment"] == "synthetic, vexas-edge"
            pixels = np.asarray(image.convert("RGB"))
        background = ~cell.pixels.any(axis=2)
        assert not pixels[background].any()
        assert np.abs(pixels.astype(int) - cell.pixels).mean() < 1.5


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    once, again = (write_smear(tmp_path / name, smear()) for name in ("once", "again"))
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in again]


def test_a_demo_smear_stays_small(tmp_path: Path) -> None:
    paths = write_smear(tmp_path, smear(n_cells={"neutrophil": 6, "monocyte": 2, "lymphocyte": 3}))
    assert sum(path.stat().st_size for path in paths) < 11 * 12_000


def classes_of(crop: SmearCell) -> NDArray[np.uint8]:
    return there(crop.classes)


def test_a_crop_shows_the_same_kind_of_cell_among_red_cells_and_says_where_it_is() -> None:
    neutrophil, monocyte, lymphocyte = synthesize_smear(3, "vexas", 1.0, ONE_OF_EACH, crops=True)
    for cell in (neutrophil, monocyte, lymphocyte):
        assert cell.pixels.shape == (CROP_PX, CROP_PX, 3)
        classes = classes_of(cell)
        assert np.unique(classes).tolist() == [0, 1, 2]
        found = [cell.pixels[classes == value].mean(axis=0) for value in (0, 1, 2)]
        slide, cytoplasm, nucleus = (colour[1] for colour in found)  # green
        assert slide > cytoplasm > nucleus
        edge = np.concatenate([classes[0], classes[-1], classes[:, 0]])
        assert not edge.any()
    areas = [int((classes_of(cell) > 0).sum()) for cell in (neutrophil, monocyte, lymphocyte)]
    assert areas[2] < areas[0] < areas[1]
    reds = (classes_of(neutrophil) == 0) & (neutrophil.pixels[..., 1] < 190)
    assert 0.02 < reds.mean() < 0.6


def test_a_very_large_cell_still_fits_its_crop() -> None:
    patient = draw_patient(1)
    huge = replace(morphology_of("monocyte", "control", 0.0), diameter_px=190)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        crop = paint_crop(draw_traits(huge, patient, rng), patient.stain, rng)
        assert crop.pixels.shape == (CROP_PX, CROP_PX, 3)
        assert (crop.classes > 0).any()
