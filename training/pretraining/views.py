"""Draws views of cells for learning: flipped, rotated and cropped, a batch at once.

All that is random is drawn on the CPU first, so that an epoch's numbers can be drawn at once.

The views are those of the VEXAS paper (Chabrun et al., CCLM 2023): flips, a rotation about the
middle that keeps the image's size, and a crop anywhere in it; pixels outside are black, before any
preprocessing. Jitter of colours, other sizes, blur and crops near the middle are our additions and
off by default.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from training.pretraining.cell_stack import CellStack
from vexas_edge.errors import UsageError

# Of a view's numbers, the columns of: its first pixel, from the middle of its cell's image; that
# middle; that image's top left pixel in the cell's square; the matrix that turns and mirrors; the
# factors of the colours' optical densities; 1 for a grey view; and how much it is blurred.
_WIDTHS = (2, 2, 2, 4, 3, 1, 1)
N_NUMBERS = sum(_WIDTHS)
# Beyond so many standard deviations a blur takes nothing in.
_REACH = 3
_SMALLEST_BLUR_PX = 1e-3


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """How views of a cell differ; the defaults are the paper's.

    crop_px: the side of a view.
    flip: share of views that are mirrored, per axis.
    turn_deg: the largest rotation in either direction.
    jitter: spread of the logarithm of each colour's optical density, half of it common to all
        three, as with another stain or lamp.
    grey: share of views without colour.
    scale: spread of the logarithm of the magnification.
    blur_px: the largest standard deviation of a Gaussian blur; each view has one from 0 to this.
    shift_px: how far the crop may lie from the middle, along each axis; None lets it lie anywhere.
    """

    crop_px: int = 128
    flip: float = 0.5
    turn_deg: float = 180.0
    jitter: float = 0.0
    grey: float = 0.0
    scale: float = 0.0
    blur_px: float = 0.0
    shift_px: int | None = None

    def __post_init__(self) -> None:
        shares = (self.flip, self.grey, self.turn_deg / 180)
        sizes = (self.jitter, self.scale, self.blur_px, self.shift_px or 0)
        if self.crop_px < 1 or min(sizes) < 0 or any(not 0 <= share <= 1 for share in shares):
            raise UsageError(
                f"views cannot be made with {self}; expected a crop of at least 1 px, shares from "
                "0 to 1, at most 180 degrees, and no negative jitter, scale, blur or shift"
            )


def draw_numbers(cells: CellStack, rows: Tensor, options: ViewOptions, draw: Generator) -> Tensor:
    """What makes one new view of each cell, before any pixel is touched: float32 (n, N_NUMBERS).

    Args:
        rows: of the wanted cells, int64 (n,), on the CPU.
        draw: on the CPU, so that views are the same on every device.

    Returns:
        the columns of `_WIDTHS`, on the CPU.
    """
    sizes = cells.sizes[rows]
    start, middle, turn = _drawn_places(sizes.float(), options, draw)
    top_left = torch.div(cells.side_px - sizes, 2, rounding_mode="floor").float()
    strength, grey = _drawn_stain(len(rows), options, draw)
    blur = torch.zeros(len(rows), 1)
    if options.blur_px:
        blur = options.blur_px * torch.rand(len(rows), 1, generator=draw)
    return torch.cat([start, middle, top_left, turn, strength, grey, blur], 1)


def views_from_numbers(pixels: Tensor, numbers: Tensor, options: ViewOptions) -> Tensor:
    """A view of each cell: float32 (n, 3, crop_px, crop_px), 0 to 255, on the cells' device.

    Args:
        pixels: of the cells, uint8 (n, S, S, 3) RGB.
        numbers: from `draw_numbers`, on the same device.
    """
    start, middle, top_left, turn, strength, grey, blur = numbers.split(_WIDTHS, 1)
    cells = pixels.permute(0, 3, 1, 2).float()
    places, inside = _places(start, middle, turn.view(-1, 2, 2), options.crop_px)
    places = places + top_left[:, None, None, :]
    # From pixels to grid_sample's coordinates: x first, -1 to 1 from one image border to the other.
    grid = ((2 * places + 1) / cells.shape[-1] - 1).flip(-1)
    views = functional.grid_sample(cells, grid, padding_mode="zeros", align_corners=False)
    views = views * inside[:, None]
    if options.blur_px:
        views = _blurred(views, blur, options.blur_px)
    if options.jitter:
        views = 255 * (views / 255) ** strength[:, :, None, None]
    if options.grey:
        views = torch.where(grey[:, :, None, None] > 0, views.mean(1, keepdim=True), views)
    return views


def _drawn_places(
    sizes: Tensor, options: ViewOptions, draw: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Where views begin and how they are turned.

    Args:
        sizes: height and width of the cells, float32 (n, 2).

    Returns:
        each view's first pixel, from the middle of its cell's image, float32 (n, 2); that middle,
        float32 (n, 2); and the matrix that turns and mirrors, by rows, float32 (n, 4).
    """
    n, spare = len(sizes), sizes - options.crop_px
    middle_corner = torch.div(spare + 1, 2, rounding_mode="floor")
    first, room = torch.zeros_like(spare), spare
    if options.shift_px is not None:
        first = (middle_corner - options.shift_px).clamp_min(0)
        room = (middle_corner + options.shift_px).minimum(spare) - first
    anywhere = first + (torch.rand(n, 2, generator=draw) * (room + 1)).floor()
    corner = torch.where(spare > 0, anywhere, middle_corner)
    angle = (2 * torch.rand(n, generator=draw) - 1) * options.turn_deg * (torch.pi / 180)
    mirror = 1.0 - 2.0 * (torch.rand(n, 2, generator=draw) < options.flip)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
    turn = mirror[:, :, None] * turn
    if options.scale:
        turn = turn * torch.exp(-options.scale * torch.randn(n, 1, 1, generator=draw))
    middle = (sizes - 1) / 2
    # Whole and half pixels, so the difference is exact.
    return corner - middle, middle, turn.view(n, 4)


def _drawn_stain(n: int, options: ViewOptions, draw: Generator) -> tuple[Tensor, Tensor]:
    """Factors of the colours' optical densities, (n, 3), and 1 for a grey view, (n, 1); float32."""
    strength, grey = torch.ones(n, 3), torch.zeros(n, 1)
    if options.jitter:
        common, own = torch.randn(n, 1, generator=draw), torch.randn(n, 3, generator=draw)
        strength = torch.exp(options.jitter * (common + own) / 2**0.5)
    if options.grey:
        grey = (torch.rand(n, generator=draw) < options.grey).float()[:, None]
    return strength, grey


def _blurred(views: Tensor, blur: Tensor, most_px: float) -> Tensor:
    """Each view with a blur of its own.

    Args:
        views: float32 (n, 3, S, S).
        blur: standard deviations, float32 (n, 1).
        most_px: the largest that there may be.
    """
    n, channels, side, _ = views.shape
    reach = min(max(1, round(_REACH * most_px)), side - 1)
    away = torch.arange(-reach, reach + 1, dtype=torch.float32, device=views.device)
    kernels = torch.exp(-0.5 * (away / blur.clamp_min(_SMALLEST_BLUR_PX)) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    rows = functional.pad(views, (reach,) * 4, mode="replicate").view(
        1, n * channels, -1, side + 2 * reach
    )
    across = functional.conv2d(rows, kernels[:, None, None, :], groups=n * channels)
    both = functional.conv2d(across, kernels[:, None, :, None], groups=n * channels)
    return both.view(n, channels, side, side)


def _places(start: Tensor, middle: Tensor, turn: Tensor, crop: int) -> tuple[Tensor, Tensor]:
    """Where each pixel of a view lies in its cell's image, and whether it is inside that image.

    Returns:
        row and column in the cell's image, float32 (n, crop, crop, 2); and inside, bool
        (n, crop, crop).
    """
    middle = middle[:, None, None, :]
    along = torch.arange(crop, dtype=torch.float32, device=start.device)
    frame = torch.stack(torch.meshgrid(along, along, indexing="ij"), -1)
    from_middle = frame + start[:, None, None, :]
    inside = (from_middle.abs() <= middle + 0.5).all(-1)
    turned = torch.einsum("nij,nhwj->nhwi", turn, from_middle)
    return turned + middle, inside
