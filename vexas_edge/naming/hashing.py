"""Ids under a key: the same id gives the same word, and only who has the key can find it again."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vexas_edge.errors import UsageError
from vexas_edge.text import folded, unicode_text

_LEAST_BYTES = 16
_HEX_DIGITS = 16


@dataclass(frozen=True, slots=True, repr=False)
class IdKey:
    """A secret key for ids."""

    secret: bytes

    def hashed(self, case: str) -> str:
        """The word that stands for an id: `case-` and 16 hexadecimal digits of its HMAC-SHA256.

        Neither case nor the encoding of accents makes a difference.
        """
        digest = hmac.new(self.secret, folded(case).encode(), hashlib.sha256)
        return f"case-{digest.hexdigest()[:_HEX_DIGITS]}"


def text_without(names: Iterable[str], text: str, word: str) -> str:
    """The text with a word in the place of each of these names, as a whole or part by part.

    >>> text_without(["ward 3/P1"], "P1_7.png in P12 of Ward 3", "X")
    'X_7.png in P12 of X'
    """
    every = {name for name in names if name}
    every |= {part for name in every for part in re.split(r"[/\\]", name) if part}
    if not every:
        return text
    longest_first = sorted(every, key=lambda name: (-len(name), name))
    one = "|".join(map(re.escape, longest_first))
    return re.sub(rf"(?<![^\W_])(?:{one})(?![^\W_])", word, text, flags=re.IGNORECASE)


def read_key(file: Path) -> IdKey:
    """The key in a file.

    Raises:
        UsageError: it cannot be read, or is too short to keep ids secret.
    """
    try:
        secret = file.read_bytes().strip()
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
