"""Text that any file and any terminal can hold."""

import hashlib
import unicodedata
from collections.abc import Iterable

_NAMED_AT_MOST = 5


def unicode_text(text: str) -> str:
    """The text with U+FFFD for each part that is not Unicode, which file names may contain."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


def one_line(text: str) -> str:
    """The same text on one line, with escapes for characters that would upset a terminal.

    >>> one_line("P1\\n\\x1b[31m")
    'P1 \\\\x1b[31m'
    """
    line = " ".join(part.strip() for part in text.splitlines() if part.strip())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def folded(name: str) -> str:
    """The name as those see it who tell neither case nor the encoding of accents apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def hash_of(*parts: str) -> str:
    """The SHA-256 of texts in this order, in hex; they may hold a path that is not Unicode."""
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are.

    >>> listed("abcdefg")
    'a, b, c, d, e and 2 more'
    """
    every = list(names)
    more = len(every) - _NAMED_AT_MOST
    return ", ".join(every[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
