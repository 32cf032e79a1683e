"""How a site's slides differ from the training patients', as its site file says it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from vexas_edge.bundle.site import FamilySeen, OutOfRange, RedCells, SiteImages
from vexas_edge.cells.background import middle_background
from vexas_edge.commissioning.red_cells import middle_diameter
from vexas_edge.commissioning.slides import SeenCase, SeenImages
from vexas_edge.domain.reference import Reference
from vexas_edge.errors import InputError
from vexas_edge.quality.statistics import CASE_STATISTICS, FAMILIES

_NAMED = 3
# Of so many whole red cells a case's size is told.
_LEAST_RED_CELLS = 5


def images_of_site(cases: Sequence[SeenCase]) -> SiteImages:
    """What the images of these cases are.

    Raises:
        InputError: no cell of any of them can be read.
    """
    seen = [case.images for case in cases if case.images]
    if not seen:
        raise InputError("no cell of any case can be read; look at the export")
    formats, sizes = Counter[str](), Counter[str]()
    for images in seen:
        formats.update(images.formats)
        sizes.update({f"{width} x {height}": n for (width, height), n in images.sizes.items()})
    return SiteImages(
        formats=dict(formats.most_common()),
        sizes_px=dict(sizes.most_common(1000)),
        slide=middle_background([images.slide for images in seen]),
        clipped_share=float(np.median([images.clipped_share for images in seen])),
        red_cells=_red_cells(seen),
    )


def _red_cells(seen: Sequence[SeenImages]) -> RedCells | None:
    diameters = [
        images.red_cells_px for images in seen if len(images.red_cells_px) >= _LEAST_RED_CELLS
    ]
    if not diameters:
        return None
    low, middle, high = np.quantile([middle_diameter(one) for one in diameters], (0.25, 0.5, 0.75))
    return RedCells(
        n_cases=len(diameters),
        n_cells=sum(map(len, diameters)),
        diameter_px=float(middle),
        low_px=float(low),
        high_px=float(high),
    )


def families_seen(
    cases: Sequence[SeenCase], model: str, reference: Reference | None
) -> dict[str, FamilySeen]:
    """Of each family of statistics, how the site's middle case lies against the training range."""
    found = [case.of(model).statistics for case in cases]
    statistics = [one for one in found if one is not None]
    if reference is None or not statistics:
        return {}
    middle = np.median(statistics, axis=0)
    beyond = np.maximum(reference.low - middle, middle - reference.high) / reference.spread
    families: dict[str, FamilySeen] = {}
    for family in dict.fromkeys(FAMILIES):
        places = [place for place, name in enumerate(FAMILIES) if name == family]
        outside = sorted((p for p in places if beyond[p] > 0), key=lambda p: -beyond[p])
        families[family] = FamilySeen(
            n=len(places),
            outside=len(outside),
            farthest=tuple(
                OutOfRange(
                    name=CASE_STATISTICS[place],
                    value=float(middle[place]),
                    low=float(reference.low[place]),
                    high=float(reference.high[place]),
                )
                for place in outside[:_NAMED]
            ),
        )
    return families
