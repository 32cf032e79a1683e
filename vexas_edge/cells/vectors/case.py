"""A case that is a table: it holds the cells of one sample of one patient."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vexas_edge.cells.vectors.table import FeatureTable
from vexas_edge.errors import InputError
from vexas_edge.inputs import open_file, state_of_file

_PART_BYTES = 1 << 20
# The size and the time of each file, by which a change is seen.
FilesState = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class TableCase:
    """A table that was opened: the names of its features are read.

    path: a file, or the folder of a matrix.
    state: of its files before they were opened.
    """

    name: str
    path: Path
    table: FeatureTable
    state: FilesState

    def sha256(self) -> str:
        """The SHA-256 of its file, or of its files one after the other, in hex.

        Raises:
            InputError: one cannot be read.
        """
        digest = hashlib.sha256()
        for file in self.table.files:
            try:
                with open_file(file) as opened:
                    while part := opened.read(_PART_BYTES):
                        digest.update(part)
            except OSError as error:
                raise InputError(f"{file} cannot be read: {error}") from error
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Check that no file was written anew since the table was opened.

        Raises:
            InputError: one was, or has gone.
        """
        if state_of_files(self.table.files) != self.state:
            raise InputError(f"{self.path} changed while it was being read; score it again")

    def close(self) -> None:
        """Do nothing: no file of a table stays open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def state_of_files(files: Sequence[Path]) -> FilesState:
    """The size and the time of each file.

    Raises:
        InputError: one is not there.
    """
    return tuple(state_of_file(file, "the table") for file in files)
