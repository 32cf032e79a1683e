"""The names of result files: one per case, valid on every operating system."""

import hashlib
from collections.abc import Iterable

from vexas_edge.errors import UsageError

_UNSAFE = set('<>:"/\\|?*%')
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{device}{number}" for device in ("COM", "LPT") for number in "123456789\xb9\xb2\xb3"
}
RUN = "run"  # run.json is the run's own record
_LONGEST_STEM_BYTES = 120  # of the 255 that a file system takes


def file_stem_for_case(case: str) -> str:
    """A file name without suffix, valid on every system and different for different cases.

    >>> file_stem_for_case("ward 3/P1: Monday")
    'ward 3%2FP1%3A Monday'
    """
    stem = "".join(_escaped(c) if c in _UNSAFE or c < " " else c for c in case) or "%"
    if stem.split(".")[0].strip().upper() in _DEVICES or stem.lower() == RUN:
        stem = _escaped(stem[0]) + stem[1:]
    if stem[-1] in ". ":
        stem = stem[:-1] + _escaped(stem[-1])
    if len(stem.encode()) > _LONGEST_STEM_BYTES:
        start = stem.encode()[:_LONGEST_STEM_BYTES].decode(errors="ignore")
        stem = f"{start}~{hashlib.sha256(case.encode()).hexdigest()[:8]}"
    return stem


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


def _escaped(character: str) -> str:
    return f"%{ord(character):02X}"
