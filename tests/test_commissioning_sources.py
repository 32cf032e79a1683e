"""Slides of a site must be different ones, of one source."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from tiny_gate import small_reference

from vexas_edge.cells.likeness import even_signature_of, signature_of, turned_copies
from vexas_edge.commissioning.slides import SeenCase, SeenImages, Size
from vexas_edge.commissioning.sources import (
    clusters_apart,
    copied_slides,
    sizes_apart,
    within_kinds,
)


def cells(seed: int, n: int) -> list[np.ndarray]:
    """Signatures of made-up cells."""
    return list(np.random.default_rng(seed).integers(0, 255, (n, 8, 8, 3), np.int16))


def slide(name: str, signatures: list[np.ndarray]) -> SeenCase:
    return SeenCase(name=name, label=None, counted=(), images=None, signatures=tuple(signatures))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_a_cell_is_known_however_it_lies(mirrored: bool, turns: int) -> None:
    first, second = cells(0, 2)
    again = np.rot90(first[:, ::-1] if mirrored else first, turns)
    assert turned_copies([first, second, again]) == {2: 0}
    noise = np.random.default_rng(1).integers(-12, 13, again.shape, np.int16)
    assert turned_copies([first, second, again + noise]) == {2: 0}
    far = again.copy()
    far[2, 5, 1] += 13
    assert turned_copies([first, second, far]) == {}


@pytest.mark.parametrize("size", [(363, 365), (224, 224), (100, 113), (7, 10)])
def test_signatures_are_turned_as_their_images_are(size: tuple[int, int]) -> None:
    """Resizing gives the pixels between two blocks to one of them, 40 levels apart at 363 px."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    signature = even_signature_of(pixels)
    for turns in range(4):
        turned = even_signature_of(np.rot90(pixels[::-1], turns))
        assert np.abs(np.rot90(signature[::-1], turns) - turned).max() <= 1
    whole = pixels[: size[0] // 8 * 8, : size[1] // 8 * 8]
    if whole.size:
        assert np.abs(even_signature_of(whole) - signature_of(whole)).max() <= 4


def test_nothing_is_a_copy_among_nothing() -> None:
    assert turned_copies([]) == {}
    assert copied_slides([slide("A", []), slide("B", [])]) == ""


@pytest.mark.parametrize(("n_copied", "is_copied"), [(4, False), (5, True)])
def test_a_slide_is_another_one_again_from_half_of_its_cells_on(
    n_copied: int, is_copied: bool
) -> None:
    whole, own = cells(0, 30), cells(1, 10)
    mixed = [*(np.rot90(cell) for cell in whole[:n_copied]), *own[n_copied:]]
    said = copied_slides([slide("A", whole), slide("B", mixed)])
    assert (said == "slides show the same cells: A and B; give each slide once") == is_copied
    assert (said == "") != is_copied


def test_a_slide_of_several_others_cells_is_named() -> None:
    one, other, own = cells(0, 30), cells(1, 30), cells(2, 4)
    mixed = slide("C", [*one[:2], *other[:2], *own])
    assert copied_slides([slide("A", one), slide("B", other), mixed]) != ""


def of_sizes(*sizes: dict[Size, int]) -> list[SeenCase]:
    """Slides with so many images of each size."""
    return [
        replace(
            slide(str(place), []),
            images=SeenImages(
                formats=Counter(PNG=16),
                sizes=Counter(of_case),
                slide=(240, 240, 240),
                clipped_share=0.0,
                red_cells_px=(),
            ),
        )
        for place, of_case in enumerate(sizes)
    ]


ONE, OTHER, THIRD = (360, 363), (360, 365), (376, 363)


def test_two_cameras_differ_in_the_size_of_their_images() -> None:
    two = [*[{ONE: 16}] * 36, *[{OTHER: 16}] * 4]
    said = "(360 x 363 px on 36 slides, 360 x 365 px on 4 slides)"
    assert said in sizes_apart(of_sizes(*two))
    assert sizes_apart(of_sizes(*two[:39])) == ""  # 3 of 39
    assert sizes_apart(of_sizes({ONE: 9, THIRD: 1}, {ONE: 16}, {OTHER: 16}, {OTHER: 16})) != ""
    assert sizes_apart(of_sizes({ONE: 16}, {OTHER: 16})) == ""  # one alone is none
    assert sizes_apart(of_sizes(*[{ONE: 15, THIRD: 1}] * 40)) == ""


def test_an_analyzer_that_cuts_out_each_cell_is_one_source() -> None:
    mixed = [{ONE: 14, OTHER: 2}, {OTHER: 13, THIRD: 3}] * 20
    assert sizes_apart(of_sizes(*mixed)) == ""
    assert sizes_apart(of_sizes(*mixed[:36], *[{ONE: 16}] * 2, *[{OTHER: 16}] * 2)) == ""
    assert sizes_apart(of_sizes(*mixed[:4], *[{ONE: 16}] * 30, *[{OTHER: 16}] * 6)) != ""
    assert sizes_apart([]) == ""


def test_encodings_alone_part_two_scanners_and_a_disease_does_not() -> None:
    reference, rng = small_reference(), np.random.default_rng(0)
    statistics = np.tile(reference.centre, (40, 1))
    means, side = rng.normal(0, 0.01, (40, 8)), np.arange(40) % 4 == 0
    assert clusters_apart(statistics, means, reference) == ""
    means[side] += 1
    said = clusters_apart(statistics, means, reference)
    assert said.startswith("the slides fall into two clusters of 30 and 10 that lie ")
    assert "times their own spread apart in encodings (allowed 6)" in said
    assert clusters_apart(statistics, within_kinds(means, side), reference) == ""
