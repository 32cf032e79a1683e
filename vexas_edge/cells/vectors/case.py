"""A case that is a table: it holds the cells of one sample of one patient."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vexas_edge.cells.vectors.table import FeatureTable
from vexas_edge.errors import InputError
from vexas_edge.inputs import open_file, state_of_file

_PART_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class TableCase:
    """A table that was opened: the names of its features are read.

    path: a file, or the folder of a matrix.
    """

    name: str
    path: Path
    table: FeatureTable

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

    def state(self) -> tuple[tuple[int, int], ...]:
        """The size and the time of each of its files, by which a change is seen.

        Raises:
            InputError: one is not there.
        """
        return tuple(state_of_file(file, "the table") for file in self.table.files)

    def close(self) -> None:
        """Do nothing: no file of a table stays open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
