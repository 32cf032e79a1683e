"""What the place and the name of a file say."""

import pytest

from vexas_edge.choices import Layout
from vexas_edge.smear.layout import Place, is_image, places_from_folders, prefix_of
from vexas_edge.smear.vocabulary import vocabulary_from


def places(*folders: str, layout: Layout = "auto") -> dict[str, Place]:
    return places_from_folders(set(folders), layout, vocabulary_from("cellavision"))


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("a/SNE_000123.jpg", "SNE"),
        ("SNE_10737242_0.png", "SNE"),
        ("USRWBC2_000001.jpg", "USRWBC2"),
        ("LY_2018_cool.png", "LY"),
        ("4711_001.jpg", None),
        ("overview.jpg", None),
        ("SNE_1/overview.jpg", None),
        ("lymphocyte_variant_1.jpg", None),
    ],
)
def test_a_prefix_is_letters_and_digits_before_an_underscore_and_a_number(
    path: str, prefix: str | None
) -> None:
    assert prefix_of(path) == prefix


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "b/a.Png", "a.bmp", "a.tif", "a.TIFF"])
def test_image_suffixes_are_known_in_any_case(name: str) -> None:
    assert is_image(name)


@pytest.mark.parametrize("name", ["Thumbs.db", "a.txt", "jpg", ".DS_Store", "__MACOSX/._a.jpg"])
def test_other_names_are_no_images(name: str) -> None:
    assert not is_image(name)


def test_a_cellavision_tree_is_seen_by_its_slides_folders() -> None:
    assert places(
        "P1/order/Signed slides/USR 2", "P1/order/signed  Slides", "P1/order/Unsigned slides"
    ) == {
        "P1/order/Signed slides/USR 2": Place(smear="P1/order", class_name="USR 2"),
        "P1/order/signed  Slides": Place(smear="P1/order"),
        "P1/order/Unsigned slides": Place(smear="P1/order", unsigned=True),
    }


def test_an_unknown_folder_beside_a_class_folder_is_a_class_folder() -> None:
    assert places("LY", "Blebs") == {
        "LY": Place(smear="", class_name="LY"),
        "Blebs": Place(smear="", class_name="Blebs"),
    }


def test_a_folder_without_a_class_folder_near_it_is_a_smear() -> None:
    assert places("", "P1", "P2/a") == {
        "": Place(smear=""),
        "P1": Place(smear="P1"),
        "P2/a": Place(smear="P2/a"),
    }


@pytest.mark.parametrize("layout", ["auto", "folders"])
def test_a_folder_below_a_class_folder_is_outside(layout: Layout) -> None:
    assert places("LY", "LY/small", "LY/small/tiny", layout=layout) == {
        "LY": Place(smear="", class_name="LY")
    }


def test_a_stray_class_folder_does_not_swallow_the_smears_below_its_neighbours() -> None:
    assert places("LY", "ward/P1", "ward/P2") == {
        "LY": Place(smear="", class_name="LY"),
        "ward/P1": Place(smear="ward/P1"),
        "ward/P2": Place(smear="ward/P2"),
    }


def test_a_folder_below_the_slides_of_a_class_is_outside() -> None:
    assert places("Signed slides/LY", "Signed slides/LY/small", "Unsigned slides/small") == {
        "Signed slides/LY": Place(smear="", class_name="LY")
    }


def test_a_smear_with_class_folders_of_its_own_is_one_wherever_it_lies() -> None:
    assert places("LY", "LY/P1/MO", "LY/P2/Signed slides/MO") == {
        "LY": Place(smear="", class_name="LY"),
        "LY/P1/MO": Place(smear="LY/P1", class_name="MO"),
        "LY/P2/Signed slides/MO": Place(smear="LY/P2", class_name="MO"),
    }


def test_the_cellavision_layout_takes_nothing_else() -> None:
    assert places("LY", "Signed slides/LY", layout="cellavision") == {
        "Signed slides/LY": Place(smear="", class_name="LY")
    }


def test_the_folders_layout_makes_every_folder_a_class() -> None:
    assert places("", "Blebs", layout="folders") == {
        "": Place(smear=""),
        "Blebs": Place(smear="", class_name="Blebs"),
    }


def test_the_flat_layout_makes_every_folder_a_smear() -> None:
    assert places("LY", layout="flat") == {"LY": Place(smear="LY")}
