"""By what a smear that nobody has touched is known without opening any of its files."""

import os
from collections.abc import Iterator
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.walk import is_folder, walk_folder
from vexas_edge.text import hash_of

_HALF = 32


def stamp_of(found: FoundCase, reading: str, *more: str) -> str:
    """Where a smear lies, and how it is there, hashed: 32 hexadecimal digits of each.

    The latter is how its names are read, its files' names, sizes and times, and what else is said
    of it; where it cannot be listed, why not.

    Args:
        reading: how names are read, as `ReadOptions.facts` says it.
        more: what else the smear's answer depends on.
    """
    how = hash_of(reading, repr((found.alone, found.problem)), *_facts(found.path), *more)
    return hash_of(os.path.realpath(found.path))[:_HALF] + how[:_HALF]


def is_of_one_place(stamp: str, other: str) -> bool:
    """Whether two stamps are of what lies, or lay, in one place."""
    return stamp[:_HALF] == other[:_HALF]


def _facts(path: Path) -> Iterator[str]:
    try:
        if is_folder(path):
            yield from sorted(map(repr, walk_folder(path)))
        else:
            facts = path.stat()
            yield repr((facts.st_size, facts.st_mtime_ns))
    except (InputError, OSError, ValueError) as error:
        yield str(error)
