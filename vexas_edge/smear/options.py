"""How the names of files are read: layout, vocabulary, and which of two names to trust."""

from dataclasses import dataclass, field
from typing import get_args

from vexas_edge.choices import ClassFrom, Layout
from vexas_edge.errors import UsageError
from vexas_edge.smear.vocabulary import DEFAULT, IGNORE, Vocabulary, vocabulary_from


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """How names are read.

    layout: how the folders of a smear are arranged.
    class_from: which name to trust where a folder and a file's prefix both name a class.
    cell_type: the class of images that lie in no class folder.
    class_map: a vocabulary of class names, built in or in a TOML file; None means the default.
    unnamed: whether images whose class nothing says are cells, for a model to name.
    vocabulary: the vocabulary that `class_map` names; it is read when the options are made.

    Raises:
        UsageError: a value is not one of its choices, or the class map cannot be read.

    >>> ReadOptions(class_map="barcelona").vocabulary.class_of("IG")
    'immature_granulocyte'
    """

    layout: Layout = "auto"
    class_from: ClassFrom = "folder"
    cell_type: str | None = None
    class_map: str | None = None
    unnamed: bool = False
    vocabulary: Vocabulary = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_choice("layout", self.layout, get_args(Layout))
        _check_choice("class_from", self.class_from, get_args(ClassFrom))
        object.__setattr__(self, "vocabulary", vocabulary_from(self.class_map or DEFAULT))
        if self.cell_type is None:
            return
        if self.vocabulary.class_of(self.cell_type) in (None, IGNORE):
            raise UsageError(
                f"cell type {self.cell_type!r} is unknown; expected a canonical name such as "
                f"'lymphocyte' or a name in the vocabulary {self.vocabulary.name!r}"
            )

    @property
    def facts(self) -> str:
        """Everything that decides how names are read, in one text."""
        vocabulary = sorted(self.vocabulary.classes.items())
        return repr((self.layout, self.class_from, self.cell_type, self.unnamed, vocabulary))


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{option} is {value!r}; expected one of {', '.join(choices)}")
