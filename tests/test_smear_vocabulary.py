"""Vocabularies: the built-in ones, and a user's own file."""

from pathlib import Path

import pytest

from vexas_edge.errors import UsageError
from vexas_edge.smear import vocabulary
from vexas_edge.smear.vocabulary import BUILT_IN, CELL_CLASSES, IGNORE, vocabulary_from


def class_map(folder: Path, text: str) -> str:
    path = folder / "our lab.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_shipped_file_is_a_built_in_vocabulary() -> None:
    files = Path(vocabulary.__file__).with_name("vocabularies").glob("*.toml")
    assert tuple(sorted(path.stem for path in files)) == BUILT_IN


@pytest.mark.parametrize(
    ("name", "written", "canonical"),
    [
        ("cellavision", "SNE", "neutrophil_segmented"),
        ("cellavision", "segmented  Neutrophils ", "neutrophil_segmented"),
        ("cellavision", "Lymphocyte, variant", "lymphocyte_variant"),
        ("cellavision", "Arifact", "artefact"),
        ("cellavision", "PMO", "promonocyte"),
        ("munich", "PMO", "promyelocyte"),
        ("munich", "NGS", "neutrophil_segmented"),
        ("barcelona", "PLT", "platelet"),
        ("barcelona", "ig", "immature_granulocyte"),
        ("vexas", "PN", "neutrophil"),
    ],
)
def test_a_code_means_what_its_vocabulary_says(name: str, written: str, canonical: str) -> None:
    assert vocabulary_from(name).class_of(written) == canonical


@pytest.mark.parametrize("name", BUILT_IN)
def test_canonical_names_are_known_to_every_vocabulary(name: str) -> None:
    known = vocabulary_from(name)
    assert all(known.class_of(canonical.upper()) == canonical for canonical in CELL_CLASSES)


def test_munich_has_its_fifteen_classes() -> None:
    assert len(vocabulary_from("munich").classes) == 15


def test_an_unknown_code_has_no_class() -> None:
    assert vocabulary_from("cellavision").class_of("USRWBC2") is None


def test_a_user_map_replaces_the_default(tmp_path: Path) -> None:
    own = vocabulary_from(class_map(tmp_path, '[classes]\n"Leuko, rund" = "lymphocyte"\n'))
    assert own.class_of("LEUKO,  rund") == "lymphocyte"
    assert own.class_of("SNE") is None


def test_a_user_map_may_extend_a_built_in_one(tmp_path: Path) -> None:
    text = 'extends = "cellavision"\n[classes]\nUSRWBC2 = "ignore"\nPMO = "promyelocyte"\n'
    own = vocabulary_from(class_map(tmp_path, text))
    assert own.class_of("usrwbc2") == IGNORE
    assert own.class_of("PMO") == "promyelocyte"
    assert own.class_of("SNE") == "neutrophil_segmented"


def test_composed_and_decomposed_letters_are_one_name(tmp_path: Path) -> None:
    own = vocabulary_from(class_map(tmp_path, '[classes]\n"Cellules \u00e9tranges" = "blast"\n'))
    assert own.class_of("cellules e\u0301tranges") == "blast"


def test_a_map_saved_by_windows_notepad_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = class_map(tmp_path, '\ufeff[classes]\nXY = "monocyte"\n')
    assert vocabulary_from(path).class_of("xy") == "monocyte"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[classes]\nXY = "lymphozyt"\n', "'XY' is mapped to 'lymphozyt'"),
        ("[classes]\nXY = 3\n", "'XY' is mapped to something of type int"),
        ('[classes]\nXY = "blast"\nxy = "monocyte"\n', "'xy' is there twice"),
        ('[classes]\nXY = "blast"\nXY = "blast"\n', "not valid TOML"),
        ('[classes]\n" " = "blast"\n', "is neither a prefix"),
        ("[classes\n", "not valid TOML"),
        ("[classes]\n", "the table [classes] is missing"),
        ('XY = "blast"\n', "unknown key 'XY'"),
        ('extends = "sysmex"\n[classes]\nXY = "blast"\n', "extends is 'sysmex'"),
    ],
)
def test_a_wrong_map_is_refused_naming_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        vocabulary_from(class_map(tmp_path, text))
    assert "our lab.toml" in str(refused.value)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_map_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes('[classes]\n"Zellen ü" = "blast"\n'.encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin\.toml: not valid TOML in UTF-8"):
        vocabulary_from(str(tmp_path / "latin.toml"))


def test_a_name_that_is_neither_built_in_nor_a_file_is_refused_with_the_choices() -> None:
    with pytest.raises(UsageError, match=r"expected a TOML file or one of barcelona, cellavision"):
        vocabulary_from("celavision")
