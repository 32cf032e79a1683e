"""A case: the cells of one smear, and what was left out and why."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

MAX_FILE_BYTES = 64 * 1024 * 1024

Refusal = Literal[
    "broken_link",
    "link_leaves_case",
    "link_to_folder",
    "name_not_unicode",
    "not_a_file",
    "system_folder",
]
NamedBy = Literal["folder", "prefix", "declared", "nobody", "model"]
# The class of a cell that nobody has named.
UNNAMED = ""
IgnoredReason = (
    Refusal
    | Literal[
        "not_an_image",
        "file_too_large",
        "outside_smear",
        "unsigned_no_class",
        "no_class",
        "unknown_class",
        "class_mapped_to_ignore",
        "class_conflict",
    ]
)

LINKS_REMEDY = (
    "links that leave the case are not followed: score the folder that they point to, or put "
    "copies of the files in their places"
)


class Source(Protocol):
    """A listing of files and a way to read them; `read` may be called from many threads."""

    @property
    def files(self) -> Mapping[str, int]:
        """The size in bytes of each file, by its path relative to the root, with `/`."""

    @property
    def refused(self) -> Mapping[str, Refusal]:
        """The reason why a file or folder is not among `files`, by its path."""

    def read(self, path: str) -> bytes:
        """The whole file.

        Raises:
            CellError: its content is damaged, or over MAX_FILE_BYTES.
            InputError: the disk, the network or the PC fails, or the file has gone since it was
                listed; this says nothing about the cell, so the case must not be scored without it.
        """

    def close(self) -> None:
        """Close all files, so that Windows lets the case be moved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """An image to be scored: its path in the source, its canonical class, and what named that.

    cell_class: `UNNAMED` where nothing names one.
    """

    path: str
    cell_class: str
    named_by: NamedBy = "folder"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """A file, or a whole system folder, that is not scored.

    class_name: an unknown class as it was written.
    """

    path: str
    reason: IgnoredReason
    class_name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """An image whose folder and prefix name two different classes."""

    path: str
    folder_class: str
    prefix_class: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """The cells of one smear and what was left out and why, each sorted by path.

    Use it as a context manager: its folder or zip stays open until the case is closed.
    """

    name: str
    source: Source
    cells: tuple[Cell, ...]
    ignored: tuple[Ignored, ...]
    conflicts: tuple[Conflict, ...]

    def cells_of(self, classes: Collection[str]) -> tuple[Cell, ...]:
        """The cells of these canonical classes, in the case's order."""
        return tuple(cell for cell in self.cells if cell.cell_class in classes)

    @property
    def unnamed(self) -> tuple[Cell, ...]:
        """The cells that nobody has named, in the case's order."""
        return self.cells_of((UNNAMED,))

    def close(self) -> None:
        """Close the folder or zip; no cell can be read after that."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCase:
    """Where a smear is expected.

    alone: whether smears in folders below it are no part of it.
    problem: why it cannot be read, if that is known already.
    """

    name: str
    path: Path
    alone: bool = False
    problem: str | None = None
