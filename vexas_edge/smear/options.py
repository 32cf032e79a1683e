"""How the names of files are read: layout, vocabulary, and which of two names to trust."""

from dataclasses import dataclass, field
from typing import get_args

from vexas_edge.choices import ClassFrom, Layout
from vexas_edge.errors import UsageError
from vexas_edge.smear.vocabulary import DEFAULT, IGNORE, Vocabulary, vocabulary_from


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """How names are read. `cell_type` is the class of images that lie in no class folder.

    Raises UsageError for a value that is none of the choices.
    """

    layout: Layout = "auto"
    class_from: ClassFrom = "folder"
    cell_type: str | None = None
    vocabulary: Vocabulary = field(default_factory=lambda: vocabulary_from(DEFAULT))

    def __post_init__(self) -> None:
        _check_choice("layout", self.layout, get_args(Layout))
        _check_choice("class_from", self.class_from, get_args(ClassFrom))
        if self.cell_type is None:
            return
        if self.vocabulary.class_of(self.cell_type) in (None, IGNORE):
            raise UsageError(
                f"cell type {self.cell_type!r} is unknown; expected a canonical name such as "
                f"'lymphocyte' or a name in the vocabulary {self.vocabulary.name!r}"
            )


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{option} is {value!r}; expected one of {', '.join(choices)}")


def read_options(
    *, layout: Layout, class_from: ClassFrom, cell_type: str | None, class_map: str | None
) -> ReadOptions:
    """The reading options that the command line's words stand for."""
    return ReadOptions(
        layout=layout,
        class_from=class_from,
        cell_type=cell_type,
        vocabulary=vocabulary_from(class_map or DEFAULT),
    )
