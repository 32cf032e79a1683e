"""Text that any file and any terminal can hold."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

_NAMED_AT_MOST = 5
# The folders of an absolute path, of Windows's too; an address of the web is none.
_FOLDERS = re.compile(r"""(?<![\w.~:/\\-])(?:[A-Za-z]:)?[/\\]{1,2}(?:[^\s/\\:;,'"]+[/\\])+""")


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


def without_folders(text: str, *places: Path) -> str:
    """The text with absolute paths cut short, which tell how this PC and its users are called.

    Args:
        places: paths that it may name; they keep their last part, and what lies below them.
            Of any other absolute path the last part is left, as far as spaces let it be told.

    >>> without_folders("/home/jane/P 1/a.zip: no zip", Path("/home/jane/P 1"))
    'P 1/a.zip: no zip'
    """
    absolute = {unicode_text(str(place)): place.name for place in places if place.is_absolute()}
    for path, name in sorted(absolute.items(), reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(path)}(?!\w)", name.replace("\\", r"\\"), text)
    return _FOLDERS.sub("", text)


def path_as_given(path: Path) -> str:
    """The path as it was given; of one that leads through the whole PC, its last part."""
    return unicode_text(path.name if path.is_absolute() else str(path))


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
