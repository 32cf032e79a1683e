"""Reading a case: which cells, of which class, and what is left out and why."""

import os
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from vexas_edge.choices import ClassFrom
from vexas_edge.errors import InputError, UsageError
from vexas_edge.smear import reader
from vexas_edge.smear.case import Case, Cell, Conflict, FoundCase, Ignored
from vexas_edge.smear.finding import find_cases
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import case_at, read_case


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def classes(case: Case) -> dict[str, str]:
    return {cell.path: cell.cell_class for cell in case.cells}


def reasons(case: Case) -> dict[str, str]:
    return {file.path: file.reason for file in case.ignored}


SIGNED = (
    "Signed slides/Segmented neutrophils/SNE_000002.jpg",
    "Signed slides/Segmented neutrophils/SNE_000001.JPG",
    "Signed slides/Lymphocyte, variant/VLY_123456789.jpg",
    "Signed slides/Lymphocyte, variant/Thumbs.db",
)
SIGNED_CLASSES = {
    "Signed slides/Lymphocyte, variant/VLY_123456789.jpg": "lymphocyte_variant",
    "Signed slides/Segmented neutrophils/SNE_000001.JPG": "neutrophil_segmented",
    "Signed slides/Segmented neutrophils/SNE_000002.jpg": "neutrophil_segmented",
}


def test_a_cellavision_smear_is_read_by_class_folder_and_sorted(tmp_path: Path) -> None:
    case = read_case(touch(tmp_path / "P 1", *SIGNED))
    assert case.name == "P 1"
    assert classes(case) == SIGNED_CLASSES
    assert [cell.path for cell in case.cells] == sorted(SIGNED_CLASSES)
    assert {cell.named_by for cell in case.cells} == {"folder"}
    assert reasons(case) == {"Signed slides/Lymphocyte, variant/Thumbs.db": "not_an_image"}
    assert case.source.read(SIGNED[0]) == b"x"


def test_the_order_between_patient_and_slides_may_be_there(tmp_path: Path) -> None:
    case = read_case(touch(tmp_path / "P1", *(f"2021-03-04/{path}" for path in SIGNED)))
    assert case.name == "P1"
    assert len(case.cells) == 3


@pytest.mark.parametrize("top", ["", "P1/", "P1/order 7/"])
def test_a_zip_is_read_like_its_folder(tmp_path: Path, top: str) -> None:
    with zipfile.ZipFile(tmp_path / "P1.v2.zip", "w") as packed:
        for path in (*SIGNED, "__MACOSX/._SNE_1.jpg"):
            packed.writestr(path if path.startswith("__") else top + path, b"x")
    case = read_case(tmp_path / "P1.v2.zip")
    assert case.name == "P1.v2"
    assert classes(case) == {top + path: name for path, name in SIGNED_CLASSES.items()}
    assert reasons(case)["__MACOSX"] == "system_folder"


def test_class_folders_are_read_with_canonical_names_too(tmp_path: Path) -> None:
    case = read_case(touch(tmp_path, "ly/1.png", "Monocyte/2.tiff", "neutrophil/3.bmp"))
    assert classes(case) == {
        "Monocyte/2.tiff": "monocyte",
        "ly/1.png": "lymphocyte",
        "neutrophil/3.bmp": "neutrophil",
    }


def test_a_flat_folder_is_read_by_prefix(tmp_path: Path) -> None:
    case = read_case(touch(tmp_path, "SNE_10737242_0.png", "mo_000001.jpg", "notes.txt"))
    assert classes(case) == {
        "SNE_10737242_0.png": "neutrophil_segmented",
        "mo_000001.jpg": "monocyte",
    }
    assert {cell.named_by for cell in case.cells} == {"prefix"}


def test_a_declared_type_overrides_the_prefixes_of_a_flat_folder(tmp_path: Path) -> None:
    case = read_case(
        touch(tmp_path, "001.jpg", "SNE_000001.jpg"), ReadOptions(cell_type="Lymphocyte")
    )
    assert case.cells == (
        Cell(path="001.jpg", cell_class="lymphocyte", named_by="declared"),
        Cell(path="SNE_000001.jpg", cell_class="lymphocyte", named_by="declared"),
    )


def test_a_declared_type_leaves_class_folders_alone(tmp_path: Path) -> None:
    case = read_case(touch(tmp_path, "LY/1.jpg", "MO/2.jpg"), ReadOptions(cell_type="eosinophil"))
    assert classes(case) == {"LY/1.jpg": "lymphocyte", "MO/2.jpg": "monocyte"}


def test_unsigned_slides_need_a_declared_type(tmp_path: Path) -> None:
    touch(tmp_path, *SIGNED, "Unsigned slides/4711_001.jpg", "Unsigned slides/SNE_000009.jpg")
    assert reasons(read_case(tmp_path)) == {
        "Signed slides/Lymphocyte, variant/Thumbs.db": "not_an_image",
        "Unsigned slides/4711_001.jpg": "unsigned_no_class",
        "Unsigned slides/SNE_000009.jpg": "unsigned_no_class",
    }
    declared = read_case(tmp_path, ReadOptions(cell_type="monocyte"))
    assert classes(declared)["Unsigned slides/4711_001.jpg"] == "monocyte"
    assert len(declared.cells) == 5


CONFLICT = Conflict(
    path="Signed slides/Monocyte/LY_000002.jpg", folder_class="monocyte", prefix_class="lymphocyte"
)


@pytest.mark.parametrize(
    ("class_from", "named"), [("folder", "monocyte"), ("prefix", "lymphocyte"), ("agree", None)]
)
def test_a_conflict_is_reported_whatever_is_trusted(
    tmp_path: Path, class_from: ClassFrom, named: str | None
) -> None:
    touch(tmp_path, "Signed slides/Monocyte/MO_000001.jpg", CONFLICT.path)
    case = read_case(tmp_path, ReadOptions(class_from=class_from))
    assert case.conflicts == (CONFLICT,)
    assert classes(case).get(CONFLICT.path) == named
    assert (reasons(case).get(CONFLICT.path) == "class_conflict") == (named is None)
    assert classes(case)["Signed slides/Monocyte/MO_000001.jpg"] == "monocyte"


def test_an_unknown_prefix_in_a_class_folder_is_no_conflict(tmp_path: Path) -> None:
    case = read_case(touch(tmp_path, "MO/IMG_0001.jpg"), ReadOptions(class_from="agree"))
    assert classes(case) == {"MO/IMG_0001.jpg": "monocyte"}
    assert case.conflicts == ()


def test_the_prefix_alone_may_be_trusted(tmp_path: Path) -> None:
    touch(tmp_path, "MO/MO_1.jpg", "MO/2.jpg", "Unheard of/SNE_3.jpg")
    case = read_case(tmp_path, ReadOptions(class_from="prefix"))
    assert classes(case) == {
        "MO/MO_1.jpg": "monocyte",
        "Unheard of/SNE_3.jpg": "neutrophil_segmented",
    }
    assert reasons(case) == {"MO/2.jpg": "no_class"}


def test_unknown_classes_are_ignored_and_can_be_counted(tmp_path: Path) -> None:
    touch(tmp_path, "MO/1.jpg", "Blebs/1.jpg", "Blebs/2.jpg", "USRWBC2_1.jpg", "alone.jpg")
    case = read_case(tmp_path)
    assert Counter(file.class_name for file in case.ignored if file.class_name) == {
        "Blebs": 2,
        "USRWBC2": 1,
    }
    assert Ignored(path="alone.jpg", reason="no_class") in case.ignored


def test_a_class_map_makes_user_classes_known_or_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "in/USRWBC2_1.jpg", "in/USRWBC3_1.jpg", "in/SNE_1.jpg")
    text = 'extends = "cellavision"\n[classes]\nUSRWBC2 = "blast"\nUSRWBC3 = "ignore"\n'
    (tmp_path / "map.toml").write_text(text)
    options = ReadOptions(class_map=str(tmp_path / "map.toml"))
    case = read_case(tmp_path / "in", options)
    assert classes(case) == {"SNE_1.jpg": "neutrophil_segmented", "USRWBC2_1.jpg": "blast"}
    assert reasons(case) == {"USRWBC3_1.jpg": "class_mapped_to_ignore"}


def test_names_with_spaces_commas_quotes_and_other_scripts_are_read(tmp_path: Path) -> None:
    names = ["LY_1 a,b.jpg", "LY_2 'q'.jpg", "LY_3 \u00e4\u4e2d.jpg", "LY_4 =1+2.jpg"]
    case = read_case(touch(tmp_path / "M\u00fcller, Z\u00fc", *names))
    assert case.name == "M\u00fcller, Z\u00fc"
    assert [cell.path for cell in case.cells] == sorted(names)


def test_a_file_over_the_cap_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "LY_1.jpg")
    (tmp_path / "LY_2.jpg").write_bytes(b"too large")
    monkeypatch.setattr(reader, "MAX_FILE_BYTES", 4)
    assert reasons(read_case(tmp_path)) == {"LY_2.jpg": "file_too_large"}


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_an_image_that_is_a_link_out_of_the_case_is_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "case/LY_1.jpg", "LY_2.jpg")
    (tmp_path / "case" / "LY_2.jpg").symlink_to(tmp_path / "LY_2.jpg")
    assert reasons(read_case(tmp_path / "case")) == {"LY_2.jpg": "link_leaves_case"}


def test_the_cellavision_layout_leaves_other_images_out(tmp_path: Path) -> None:
    case = read_case(touch(tmp_path, *SIGNED, "LY/LY_1.jpg"), ReadOptions(layout="cellavision"))
    assert len(case.cells) == 3
    assert reasons(case)["LY/LY_1.jpg"] == "outside_smear"


@pytest.mark.parametrize(
    ("paths", "options", "said"),
    [
        ([], {}, "is empty; expected the images of one smear"),
        (
            ["Thumbs.db", "a.txt"],
            {},
            "(not_an_image 2); expected images (.jpg .jpeg .jpe .jif .jfif .png",
        ),
        (["1.jpg"], {}, "nothing says the class of '1.jpg': give --cell-type"),
        (
            ["Blebs/1.jpg"],
            {},
            "'Blebs/1.jpg': give --cell-type if all cells are of one class, name",
        ),
        (["Unsigned slides/4711_1.jpg"], {}, "(unsigned_no_class 1); nothing says the class"),
        (
            ["USRWBC2_1.jpg", "USRWBC2_2.jpg", "QQ_1.jpg"],
            {},
            "name the unknown classes in a file for --class-map: 'QQ' 1, 'USRWBC2' 2",
        ),
        (["Blebs/1.jpg"], {"layout": "folders"}, "for --class-map: 'Blebs' 1"),
        (["LY/1.jpg"], {"layout": "cellavision"}, "(outside_smear 1); check --layout"),
        (["Foo/1.jpg", "Bar/1.jpg"], {}, "holds 2 smears: 'Bar', 'Foo'; score each by itself"),
        (["o1/" + SIGNED[0], "o2/" + SIGNED[0]], {}, "2 smears: 'o1', 'o2'; score each by itself"),
        ([SIGNED[0], "o2/" + SIGNED[0]], {}, "2 smears: '.', 'o2'"),
        (
            [f"P{i}/LY_1.jpg" for i in range(7)],
            {},
            "'P4' and 2 more; score each by itself or use --rec",
        ),
    ],
)
@pytest.mark.parametrize("where", [Path, case_at])
def test_a_case_without_one_smear_of_cells_is_refused_in_one_line(
    tmp_path: Path,
    paths: list[str],
    options: dict[str, str],
    said: str,
    where: Callable[[Path], Path | FoundCase],
) -> None:
    touch(tmp_path, *paths)
    with pytest.raises(InputError) as refused:
        read_case(where(tmp_path), ReadOptions(**options))  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_case_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere was not found; expected the folder or"):
        read_case(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layout": "sysmex"}, "layout is 'sysmex'; expected one of auto, cellavision"),
        ({"class_from": "guess"}, "class_from is 'guess'; expected one of folder, prefix"),
        ({"cell_type": "lymphozyt"}, "cell type 'lymphozyt' is unknown"),
        ({"cell_type": ""}, "cell type '' is unknown"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ReadOptions(**options)  # type: ignore[arg-type]


def test_every_smear_below_a_folder_is_found_and_read_by_itself(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "P1/o1/" + SIGNED[0],
        "P1/o2/" + SIGNED[0],
        "P2/LY/1.jpg",
        "P2/Blebs/1.jpg",
        "P3/LY_1.jpg",
        "P3/older/LY_1.jpg",
        "empty/notes.txt",
    )
    with zipfile.ZipFile(tmp_path / "P3.zip", "w") as packed:
        packed.writestr("top/MO_1.jpg", b"x")
    found = {case.name: read_case(case) for case in find_cases(tmp_path)}
    assert list(found) == ["P1/o1", "P1/o2", "P2", "P3", "P3.zip", "P3/older"]
    assert {name: len(case.cells) for name, case in found.items()} == dict.fromkeys(found, 1)
    assert {case.name for case in found.values()} == set(found)
    assert reasons(found["P3"]) == {"older/LY_1.jpg": "outside_smear"}


def test_flat_folders_of_one_declared_type_are_found(tmp_path: Path) -> None:
    options = ReadOptions(cell_type="lymphocyte")
    found = find_cases(touch(tmp_path, "P1/000001.jpg", "P2/000001.jpg"), options)
    assert [case.name for case in found] == ["P1", "P2"]
    assert [len(read_case(case, options).cells) for case in found] == [1, 1]


def test_a_folder_that_is_one_smear_is_found_under_its_own_name(tmp_path: Path) -> None:
    found = find_cases(touch(tmp_path / "P9", *SIGNED))
    assert [(case.name, len(read_case(case).cells)) for case in found] == [("P9", 3)]


def test_a_zip_is_found_as_itself(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "P3.zip", "w") as packed:
        packed.writestr("top/MO_1.jpg", b"x")
    assert [case.name for case in find_cases(tmp_path / "P3.zip")] == ["P3"]


def test_a_folder_without_a_smear_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no smear"):
        find_cases(touch(tmp_path, "a/notes.txt"))


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_patient_folder_that_is_a_link_is_not_skipped_in_silence(tmp_path: Path) -> None:
    touch(tmp_path, "in/P1/LY_1.jpg", "elsewhere/LY_1.jpg")
    (tmp_path / "in" / "P2").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    linked, whole = sorted(find_cases(tmp_path / "in"), key=lambda case: case.problem is None)
    assert (linked.name, whole.name) == ("P2", "P1")
    with pytest.raises(InputError, match="P2 is a link that leaves .*; score what it points to by"):
        read_case(linked)
    assert len(read_case(whole).cells) == 1


def test_reading_a_case_loads_neither_numpy_nor_pillow() -> None:
    code = (
        "import sys, vexas_edge.smear.finding, vexas_edge.smear.reader\n"
        "sys.exit(bool({'numpy', 'PIL'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.real_data
def test_real_exports_are_read(shared_data: Path) -> None:
    munich = read_case(shared_data / "cells" / "munich")
    assert Counter(cell.cell_class for cell in munich.cells)["lymphocyte"] == 4
    assert len(munich.cells) == 24
    assert munich.conflicts == ()
    barcelona = ReadOptions(class_map="barcelona")
    assert len(read_case(shared_data / "cells" / "barcelona", barcelona).cells) == 52


@pytest.mark.real_data
def test_a_real_cohort_is_found(shared_data: Path) -> None:
    options = ReadOptions(cell_type="lymphocyte")
    found = find_cases(shared_data / "lymphocytosis", options)
    assert len(found) == 100
    assert sum(len(read_case(case, options).cells) for case in found) == 3923
