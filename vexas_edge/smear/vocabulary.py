"""What an analyzer's prefixes and folder names mean: vocabularies of cell classes."""

import reprlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vexas_edge.errors import UsageError

# Each canonical name and its Cell Ontology id; None where no term fits.
CELL_CLASSES: Mapping[str, str | None] = {
    "neutrophil": "CL:0000775",
    "neutrophil_segmented": "CL:0000096",
    "neutrophil_band": "CL:0000560",
    "metamyelocyte": "CL:0002192",
    "myelocyte": "CL:0002193",
    "promyelocyte": "CL:0000836",
    "immature_granulocyte": None,
    "myeloblast": "CL:0000835",
    "monoblast": "CL:0000040",
    "blast": None,
    "monocyte": "CL:0000576",
    "promonocyte": "CL:0000559",
    "lymphocyte": "CL:0000542",
    "lymphocyte_variant": None,
    "prolymphocyte": None,
    "plasma_cell": "CL:0000786",
    "eosinophil": "CL:0000771",
    "basophil": "CL:0000767",
    "erythroblast": "CL:0000765",
    "platelet": "CL:0000233",
    "platelet_giant": "CL:0000233",
    "platelet_clump": None,
    "smudge": None,
    "artefact": None,
    "unidentified": None,
}

# Classes that are several finer ones together.
SUBCLASSES: Mapping[str, tuple[str, ...]] = {
    "neutrophil": ("neutrophil_segmented", "neutrophil_band"),
    "immature_granulocyte": ("metamyelocyte", "myelocyte", "promyelocyte"),
    "blast": ("myeloblast", "monoblast"),
    "platelet": ("platelet_giant", "platelet_clump"),
}

IGNORE = "ignore"
BUILT_IN = ("barcelona", "cellavision", "munich", "vexas")
DEFAULT = "cellavision"


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """One analyzer's names of cell classes, folded, and the canonical name or `IGNORE` of each."""

    name: str
    classes: Mapping[str, str]

    def class_of(self, written: str) -> str | None:
        """The canonical name, or `IGNORE`, of a prefix or folder name; None if it is unknown."""
        folded = fold_name(written)
        return self.classes.get(folded) or (folded if folded in CELL_CLASSES else None)


def fold_name(written: str) -> str:
    """The name without differences of case, white space and Unicode composition."""
    return " ".join(unicodedata.normalize("NFC", written).casefold().split())


def vocabulary_from(name_or_path: str) -> Vocabulary:
    """The built-in vocabulary of that name, or else the one in the TOML file at that path.

    Raises UsageError, which names the file and the key, if the file is missing or wrong.
    """
    if name_or_path in BUILT_IN:
        return _built_in(name_or_path)
    return _vocabulary_from_file(Path(name_or_path))


@cache
def _built_in(name: str) -> Vocabulary:
    return _vocabulary_from_file(Path(__file__).with_name("vocabularies") / f"{name}.toml")


def _vocabulary_from_file(path: Path) -> Vocabulary:
    from vexas_edge.inputs import table_from_toml  # here, as only this function needs it

    try:
        table = table_from_toml(path)
    except OSError as error:
        raise UsageError(
            f"class map {path}: cannot be read ({error.strerror}); "
            f"expected a TOML file or one of {', '.join(BUILT_IN)}"
        ) from error
    except ValueError as error:
        raise UsageError(f"class map {path}: not valid TOML in UTF-8: {error}") from error
    unknown = sorted(table.keys() - {"classes", "extends"})
    if unknown:
        raise UsageError(
            f"class map {path}: unknown key {_shown(unknown[0])}; "
            "expected the table [classes] and, optionally, extends"
        )
    written = table.get("classes")
    if not isinstance(written, dict) or not written:
        raise UsageError(
            f"class map {path}: the table [classes] is missing or empty; "
            'expected lines such as LY = "lymphocyte" in it'
        )
    classes = {**_extended(table.get("extends"), path), **_folded_classes(written, path)}
    return Vocabulary(name=path.stem, classes=classes)


def _extended(base: object, path: Path) -> Mapping[str, str]:
    if base is None:
        return {}
    if not isinstance(base, str) or base not in BUILT_IN:
        raise UsageError(
            f"class map {path}: extends is {_shown(base)}; expected one of {', '.join(BUILT_IN)}"
        )
    return _built_in(base).classes


def _folded_classes(written: Mapping[str, object], path: Path) -> dict[str, str]:
    classes: dict[str, str] = {}
    for key, target in written.items():
        folded = fold_name(key)
        if not folded:
            raise UsageError(
                f"class map {path}: {_shown(key)} is neither a prefix nor a folder name"
            )
        if folded in classes:
            raise UsageError(f"class map {path}: {_shown(key)} is there twice; keep one")
        if not isinstance(target, str) or target not in {*CELL_CLASSES, IGNORE}:
            raise UsageError(
                f"class map {path}: {_shown(key)} is mapped to {_shown(target)}; "
                f"expected {IGNORE!r} or one of {', '.join(CELL_CLASSES)}"
            )
        classes[folded] = target
    return classes


def _shown(value: object) -> str:
    """A key or a value of the file, short enough for a message."""
    return (
        reprlib.repr(value)
        if isinstance(value, str)
        else f"something of type {type(value).__name__}"
    )
