"""What is seen of a site's slides, before anything is judged."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from vexas_edge.cells.background import middle_background
from vexas_edge.cells.likeness import even_signature_of
from vexas_edge.commissioning.red_cells import red_cell_diameters
from vexas_edge.commissioning.slides import SeenCase, SeenImages, Size
from vexas_edge.errors import InputError
from vexas_edge.quality.statistics import MEASURED_CELLS
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.images.reading import ReadCell, ReadCells
from vexas_edge.scoring.images.smears import read_smear
from vexas_edge.scoring.score import counted_model
from vexas_edge.scoring.smears import ReadSmear
from vexas_edge.smear.case import Case, FoundCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import read_case
from vexas_edge.talk import Progress, Say

# Levels at an end of the camera's range, as the statistics of light have it.
_CLIPPED = 254
# Red cells are looked for around so many leukocytes of a case and model.
_WITH_RED_CELLS = 8
# How a file begins, whatever it is called.
_BEGINNINGS = ((b"\xff\xd8", "JPEG"), (b"\x89PNG", "PNG"), (b"BM", "BMP"), (b"II", "TIFF"))
_OTHER_FORMAT = "TIFF"  # of the other byte order; nothing else can be read


def see_cases(
    cases: Sequence[FoundCase],
    known: Mapping[str, str] | None,
    reading: ReadOptions,
    sessions: Sessions,
    begin: Callable[[FoundCase], Progress],
    say: Say,
) -> list[SeenCase]:
    """Read and encode all cells of each slide that can be read.

    Args:
        known: the label of each, by its name; None where nothing is known.
        begin: is told of a slide before it is looked at.
        say: is told which one cannot be read.

    Raises:
        InputError: none can be read.
        HostError, BundleError: as `score_case`.
    """
    seen = []
    for found in cases:
        label = known[found.name] if known is not None else None
        try:
            with read_case(found, reading) as case:
                seen.append(_seen(case, label, sessions, begin(found)))
        except InputError as error:
            say(f"error: {found.name}: {error}")
    if not seen:
        raise InputError(f"none of {len(cases)} cases can be read")
    return seen


def _seen(case: Case, label: str | None, sessions: Sessions, progress: Progress) -> SeenCase:
    bundle = sessions.bundle
    read = read_smear(case, bundle.manifest, progress, threads=sessions.threads)
    distinct = {cell.record.path: (cells, cell) for cells, cell in _distinct(read)}
    return SeenCase(
        name=case.name,
        label=label,
        counted=tuple(
            counted_model(read, name, sessions, progress) for name in bundle.manifest.models
        ),
        images=_images(case, read) if distinct else None,
        signatures=tuple(
            even_signature_of(cells.pixels(cell)) for cells, cell in distinct.values()
        ),
    )


def _distinct(read: ReadSmear) -> Iterator[tuple[ReadCells, ReadCell]]:
    for cells in read.of_models.values():
        yield from ((cells, cell) for cell in cells.distinct)


def _images(case: Case, read: ReadSmear) -> SeenImages:
    """What the images are of the cells with the smallest identities, of which there is one."""
    formats, sizes, red_cells = Counter[str](), Counter[Size](), list[float]()
    clipped, n_pixels = 0, 0
    for cells in read.of_models.values():
        ordered = sorted(cells.distinct, key=lambda cell: cell.record.identity)
        for place, cell in enumerate(ordered[:MEASURED_CELLS]):
            pixels = cells.pixels(cell)
            formats[_format_of(case.source.read(cell.cell.path))] += 1
            sizes[pixels.shape[1], pixels.shape[0]] += 1
            clipped += int(np.count_nonzero((pixels >= _CLIPPED).any(axis=2)))
            n_pixels += pixels.shape[0] * pixels.shape[1]
            if place < _WITH_RED_CELLS:
                red_cells += red_cell_diameters(pixels, cell.background)
    return SeenImages(
        formats=formats,
        sizes=sizes,
        slide=middle_background([cell.background for _, cell in _distinct(read)]),
        clipped_share=clipped / n_pixels,
        red_cells_px=tuple(red_cells),
    )


def _format_of(content: bytes) -> str:
    found = (name for start, name in _BEGINNINGS if content.startswith(start))
    return next(found, _OTHER_FORMAT)
