"""Ids under a key: the same id gives the same word, and only who has the key can find it again."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vexas_edge.errors import UsageError
from vexas_edge.inputs import read_file
from vexas_edge.results.values import CaseScore, UsedCell
from vexas_edge.smear.case import UNNAMED
from vexas_edge.text import folded, unicode_text

_LEAST_BYTES, _MOST_BYTES = 16, 1 << 16
_HEX_DIGITS = 16
# What stands for a text that may name a patient.
NOT_WRITTEN = "not written here, as ids are hashed: see what was printed where it was scored"


@dataclass(frozen=True, slots=True, repr=False)
class IdKey:
    """A secret key for ids."""

    secret: bytes

    def digest(self, what: str, text: str) -> str:
        """The HMAC-SHA256 of a text in hex; `what` it is keeps equal texts apart."""
        message = f"{what}\0{text}".encode(errors="surrogatepass")
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()

    @property
    def mark(self) -> str:
        """By which results under the same key are known; it tells nothing of the key."""
        return self.digest("key", "")[:_HEX_DIGITS]

    def case(self, case: str) -> str:
        """The word that stands for an id: `case-` and 16 hexadecimal digits.

        Neither case nor the encoding of accents makes a difference.
        """
        return f"case-{self.digest('case', folded(case))[:_HEX_DIGITS]}"

    def path(self, cell_class: str, path: str) -> str:
        """What stands for the path of a cell in its case: its class and 16 hexadecimal digits."""
        return f"{cell_class or 'unnamed'}/{self.digest('path', path)[:_HEX_DIGITS]}"

    def stamp(self, stamp: str) -> str:
        """What stands for the stamp of a smear, whose halves stay apart."""
        half = len(stamp) // 2
        parts = (self.digest("stamp", part)[:half] for part in (stamp[:half], stamp[half:]))
        return "".join(parts)

    def result(self, score: CaseScore) -> CaseScore:
        """A result without the paths of cells, and without texts that may hold one."""
        return replace(
            score,
            error=None if score.error is None else NOT_WRITTEN,
            models=tuple(replace(m, cells=self._cells(m.cells)) for m in score.models),
            unreadable=self._cells(score.unreadable),
            rejected=self._cells(score.rejected),
            duplicates=self._cells(score.duplicates),
            typed_cells=self._cells(score.typed_cells),
            bystanders=self._cells(score.bystanders),
            conflicts=tuple(
                replace(conflict, path=self.path(conflict.folder_class, conflict.path))
                for conflict in score.conflicts
            ),
        )

    def _cells(self, cells: Iterable[UsedCell]) -> tuple[UsedCell, ...]:
        return tuple(
            replace(cell, path=self.path(_written_class(cell), cell.path), detail="")
            for cell in cells
        )


def _written_class(cell: UsedCell) -> str:
    """The class that a cell had by its name; none where a model named it."""
    return UNNAMED if cell.named_by == "model" else cell.cell_class


def read_key(file: Path) -> IdKey:
    """The key in a file.

    Raises:
        UsageError: it cannot be read, or is too short to keep ids secret.
    """
    try:
        secret = read_file(file, _MOST_BYTES).strip()
    except OSError as error:
        raise UsageError(
            f"key {unicode_text(str(file))} cannot be read: {error.strerror}; write a secret of "
            f"{_LEAST_BYTES} characters or more into it, and keep it"
        ) from error
    if len(secret) < _LEAST_BYTES:
        raise UsageError(
            f"key {file} holds {len(secret)} characters; a secret needs {_LEAST_BYTES} or more"
        )
    return IdKey(secret)
