"""Cutting one leukocyte out of an analyzer's crop, as the mask network sees it.

The network looks at the whole crop on a small grid. On that grid, the crop's own cell is chosen
among all that were found and is checked for plausibility; its outline is then cut at the crop's own
resolution.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vexas_edge.cells.components import border_of, fill_holes, label_components
from vexas_edge.cells.limits import GRID_PX, IsolationLimits
from vexas_edge.errors import RejectedCellError

IsolationReason = Literal[
    "no_cell_found",
    "cell_size_implausible",
    "cell_touches_border",
    "several_nuclei",
    "nucleus_share_implausible",
]

_BACKGROUND, _CYTOPLASM, _NUCLEUS = range(3)

# An outline is cut where the probability of being cell is this high. It is under one half because
# granules that are cut off are lost, while a rim of the slide does no harm.
_EDGE = 0.45

# Of several cells, only those can be the crop's own whose nucleus has this share of the largest's
# area.
_RIVAL_NUCLEUS = 0.3

# Parts that are less than this share of a nucleus are taken for specks.
_NUCLEUS_PART = 0.15


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCell:
    """The cell of a crop, plausible or not, with the figures that IsolationLimits bounds.

    mask: bool (H, W) at the crop's resolution, without holes.
    """

    mask: NDArray[np.bool_]
    area: float
    border_contact: float
    nuclei_apart: float
    nucleus_share: float


def resize_for_isolation(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A crop as the mask network sees it: uint8 (GRID_PX, GRID_PX, 3) from uint8 (H, W, 3) RGB."""
    size = (GRID_PX, GRID_PX)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def isolate_cell(
    probabilities: NDArray[np.float32], pixels: NDArray[np.uint8], limits: IsolationLimits
) -> NDArray[np.uint8]:
    """The cell in its tight box on black, uint8 (h, w, 3), at the crop's resolution.

    Args:
        probabilities: of background, cytoplasm and nucleus, float32 (3, GRID_PX, GRID_PX), of the
            crop as `resize_for_isolation` returns it.
        pixels: the crop, uint8 (H, W, 3) RGB.

    Raises:
        RejectedCellError: no cell was found, or it is implausible; the reason is an
            `IsolationReason`.
    """
    cell = find_cell(probabilities, pixels.shape[:2])
    check_plausible(cell, limits)
    return cut_out(pixels, cell.mask)


def find_cell(probabilities: NDArray[np.float32], shape: tuple[int, int]) -> FoundCell:
    """The cell that the crop was made of, in a crop of this height and width.

    Raises:
        RejectedCellError: reason `no_cell_found`: nothing that has a nucleus was found.
    """
    inside = 1 - probabilities[_BACKGROUND]
    nucleus = probabilities[_NUCLEUS] > probabilities[_CYTOPLASM]
    labels = label_components(inside >= _EDGE)
    chosen = labels == _chosen_label(labels, np.where(nucleus, probabilities[_NUCLEUS], 0))
    filled = fill_holes(chosen)
    # After resizing, no pixel outside the chosen cell may reach the probability of the edge.
    inside[(labels > 0) & ~filled] = 0
    inside[filled & ~chosen] = 1
    mask = _resized(inside, shape) >= _EDGE
    if not mask.any():  # in a crop far smaller than the grid
        raise _no_cell()
    return FoundCell(
        mask=mask,
        area=float(filled.mean()),
        border_contact=_on_border(filled) / _diameter(filled),
        nuclei_apart=_nuclei_apart(nucleus & filled) / _diameter(filled),
        nucleus_share=float(nucleus[filled].mean()),
    )


def check_plausible(cell: FoundCell, limits: IsolationLimits) -> None:
    """Check that this can be one whole leukocyte.

    Raises:
        RejectedCellError: it cannot; the reason is an `IsolationReason`.
    """
    if not limits.smallest_area <= cell.area <= limits.largest_area:
        raise _implausible(
            "cell_size_implausible",
            f"the cell covers {cell.area:.1%} of the image; expected "
            f"{limits.smallest_area:.1%} to {limits.largest_area:.0%}",
        )
    if cell.border_contact > limits.border_contact:
        raise _implausible(
            "cell_touches_border",
            f"{cell.border_contact:.2f} of the cell's diameter lies on the image's border; "
            f"expected at most {limits.border_contact:.2f}: part of the cell is missing",
        )
    if cell.nuclei_apart > limits.nuclei_apart:
        raise _implausible(
            "several_nuclei",
            f"parts of the nucleus lie {cell.nuclei_apart:.2f} of the cell's diameter apart; "
            f"expected at most {limits.nuclei_apart:.2f}: these may be several cells",
        )
    if not limits.smallest_nucleus <= cell.nucleus_share <= limits.largest_nucleus:
        raise _implausible(
            "nucleus_share_implausible",
            f"the nucleus covers {cell.nucleus_share:.0%} of the cell; expected "
            f"{limits.smallest_nucleus:.0%} to {limits.largest_nucleus:.0%}",
        )


def cut_out(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """What lies in the mask, in its tight box on black: uint8 (h, w, 3)."""
    box = _box(mask)
    return pixels[box] * mask[box][..., None]


def _chosen_label(labels: NDArray[np.int64], nucleus: NDArray[np.float32]) -> int:
    """The label of the crop's own cell: whole, and near the centre, where an analyzer puts it.

    Args:
        nucleus: the probability of nucleus, (H, W); 0 where something else is likelier.
    """
    nuclei = np.bincount(labels.ravel(), weights=nucleus.ravel() > 0)
    nuclei[0] = 0
    if not nuclei.any():
        raise _no_cell()
    rivals = np.flatnonzero(nuclei >= _RIVAL_NUCLEUS * nuclei.max())
    return int(min(rivals, key=lambda label: _unlikeliness(labels == label, nucleus)))


def _unlikeliness(mask: NDArray[np.bool_], nucleus: NDArray[np.float32]) -> float:
    """How unlikely it is that a component is the crop's own cell; the sum of three terms.

    These are its distance from the centre, how much of it the border cuts, and doubt about its
    nucleus: something that red cells enclose can look like a nucleus, but never certainly. Each
    term is about 0 to 1.
    """
    centre = (np.asarray(mask.shape) - 1) / 2
    away = np.linalg.norm(_centroid(mask) - centre) / mask.shape[0]
    doubt = 2 * (1 - nucleus[mask & (nucleus > 0)].mean())
    return float(away + _on_border(mask) / _diameter(mask) + doubt)


def _nuclei_apart(nucleus: NDArray[np.bool_]) -> float:
    """The largest distance between the centres of two large parts of a nucleus, in grid px."""
    labels = label_components(nucleus)
    areas = np.bincount(labels.ravel())[1:]
    large = np.flatnonzero(areas >= _NUCLEUS_PART * areas.sum()) + 1
    centres = np.array([_centroid(labels == label) for label in large]).reshape(-1, 2)
    apart = np.linalg.norm(centres[:, None] - centres, axis=-1)
    return float(apart.max(initial=0.0))


def _centroid(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.argwhere(mask).mean(axis=0))


def _diameter(mask: NDArray[np.bool_]) -> float:
    """The diameter of the circle with the same area, in px."""
    return float(2 * np.sqrt(mask.sum() / np.pi))


def _on_border(mask: NDArray[np.bool_]) -> int:
    return int(border_of(mask).sum())


def _resized(plane: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    size = shape[::-1]
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _no_cell() -> RejectedCellError:
    return RejectedCellError("no_cell_found", "no leukocyte was found in the image")


def _implausible(reason: IsolationReason, message: str) -> RejectedCellError:
    return RejectedCellError(reason, message)
