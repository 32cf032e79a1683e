"""Cases as a bundle takes them, smears of images or tables: found and opened."""

from collections.abc import Callable, Sequence
from pathlib import Path

from vexas_edge.bundle.manifest import Manifest
from vexas_edge.cells.vectors.cases import find_tables, read_table, table_at
from vexas_edge.errors import UsageError
from vexas_edge.scoring.smears import AnyCase
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.finding import wanted_cases
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import read_case


def cases_for(
    manifest: Manifest,
    paths: Sequence[Path],
    options: ReadOptions,
    *,
    recursive: bool,
    say: Callable[[str], None] | None = None,
) -> tuple[FoundCase, ...]:
    """The cases at these paths; if `recursive`, every smear or table that is found there.

    Raises:
        UsageError: how names of files are read is asked for, and the bundle takes tables.
        InputError: as `wanted_cases` and `find_tables`.
    """
    if not manifest.takes_tables:
        return wanted_cases(paths, options, recursive=recursive, say=say)
    if options != ReadOptions():
        raise UsageError(
            "this bundle takes tables of numbers, whose cells have no class in a name; leave out "
            "how images are read, such as --class-map, --cell-type, --layout and --class-from"
        )
    if not recursive:
        return tuple(map(table_at, paths))
    return tuple(found for path in paths for found in find_tables(path))


def open_case(found: FoundCase, manifest: Manifest, options: ReadOptions) -> AnyCase:
    """A case, opened to be read for a bundle.

    Raises:
        InputError, HostError: as `read_case` and `read_table`.
    """
    return read_table(found) if manifest.takes_tables else read_case(found, options)
