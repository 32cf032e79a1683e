"""The names of files and folders that are called after cases, for every system and every shell.

A character that some system does not take, that a batch file reads as something else (`%`, `!`,
`^`, `&`), or that nobody sees, stands there as `~` and its number, so names stay different.
"""

import hashlib
import sys
from collections.abc import Iterable

from vexas_edge.errors import UsageError

_UNSAFE = set('<>:"/\\|?*%!^&~')
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{device}{number}" for device in ("COM", "LPT") for number in "123456789\xb9\xb2\xb3"
}
# Of the 143 that some file systems take, the rest is for the number, the suffix and `new_partial`.
_LONGEST_STEM_BYTES = 100


def file_stem_for_case(case: str) -> str:
    """A file name without suffix, usable everywhere and different for different cases.

    >>> file_stem_for_case("ward 3/P1: Monday")
    'ward 3~2FP1~3A Monday'
    """
    stem = "".join(c if _is_usable(c) else _escaped(c) for c in case) or "~"
    if stem.split(".")[0].strip().upper() in _DEVICES:
        stem = _escaped(stem[0]) + stem[1:]
    if stem[-1] in ". ":
        stem = stem[:-1] + _escaped(stem[-1])
    if len(stem.encode()) > _LONGEST_STEM_BYTES:
        start = stem.encode()[:_LONGEST_STEM_BYTES].decode(errors="ignore")
        stem = f"{start}~{hashlib.sha256(case.encode()).hexdigest()[:8]}"
    return stem


def numbered_name(number: int, words: str, suffix: str = ".json") -> str:
    """The name of a file in a results folder, after a case or after what it records.

    >>> numbered_name(12, "P1")
    '000012-P1.json'
    """
    return f"{number:06}-{file_stem_for_case(words)}{suffix}"


def check_distinct(names: Iterable[str]) -> None:
    """Check that every case gets a file of its own, on Windows too.

    Raises:
        UsageError: two cases would share a file.
    """
    seen: dict[str, str] = {}
    for name in names:
        file = file_stem_for_case(name).lower()
        if file in seen:
            raise UsageError(
                f"two cases have the same name, {seen[file]!r} and {name!r}, and one result would "
                "replace the other; rename one, or score them separately"
            )
        seen[file] = name


def _is_usable(character: str) -> bool:
    try:
        character.encode(sys.getfilesystemencoding())  # in some locales, only ASCII
    except UnicodeEncodeError:
        return False
    return character.isprintable() and character not in _UNSAFE


def _escaped(character: str) -> str:
    number = ord(character)
    return f"~{number:02X}" if number < 0x100 else f"~u{number:06X}"
