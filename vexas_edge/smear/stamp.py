"""By what a smear that nobody has touched is known without opening any of its files."""

import os
from collections.abc import Iterator
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.walk import is_folder, walk_folder
from vexas_edge.text import hash_of


def stamp_of(found: FoundCase, options: ReadOptions) -> str:
    """The hash of where a smear lies, how its names are read, and its files' names, sizes, times.

    Where it cannot be listed, the hash is of why not.
    """
    vocabulary = sorted(options.vocabulary.classes.items())
    reading = (options.layout, options.class_from, options.cell_type, vocabulary)
    where = (os.path.realpath(found.path), found.alone, found.problem)
    return hash_of(repr(reading), repr(where), *_facts(found.path))


def _facts(path: Path) -> Iterator[str]:
    try:
        if is_folder(path):
            yield from sorted(map(repr, walk_folder(path)))
        else:
            facts = path.stat()
            yield repr((facts.st_size, facts.st_mtime_ns))
    except (InputError, OSError, ValueError) as error:
        yield str(error)
