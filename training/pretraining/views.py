"""Draws views of cells for contrastive learning: flipped, rotated and cropped, a batch at once.

The views are those of the VEXAS paper (Chabrun et al., CCLM 2023): flips, a rotation about the
middle that keeps the image's size, and a crop anywhere in it; pixels outside are black, before any
preprocessing. Jitter of colours is our addition and off by default.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from training.pretraining.cell_stack import CellStack
from vexas_edge.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """How views of a cell differ; the defaults are the paper's.

    crop_px: the side of a view.
    flip: share of views that are mirrored, per axis.
    turn_deg: the largest rotation in either direction.
    jitter: spread of the logarithm of each colour's optical density, half of it common to all
        three, as with another stain or lamp.
    grey: share of views without colour.
    """

    crop_px: int = 128
    flip: float = 0.5
    turn_deg: float = 180.0
    jitter: float = 0.0
    grey: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.flip, self.grey, self.turn_deg / 180)
        if self.crop_px < 1 or self.jitter < 0 or any(not 0 <= share <= 1 for share in shares):
            raise UsageError(
                f"views cannot be made with {self}; expected a crop of at least 1 px, shares from "
                "0 to 1, at most 180 degrees and no negative jitter"
            )


def draw_views(cells: CellStack, rows: Tensor, options: ViewOptions, draw: Generator) -> Tensor:
    """One new view of each cell: float32 (n, 3, crop_px, crop_px), 0 to 255, on the cells' device.

    Args:
        rows: of the wanted cells, int64 (n,).
        draw: on the CPU, so that views are the same on every device.
    """
    pixels, sizes = cells.pixels[rows].permute(0, 3, 1, 2).float(), cells.sizes[rows]
    places, inside = _places(sizes.float(), options, draw, pixels.device)
    top_left = torch.div(pixels.shape[-1] - sizes, 2, rounding_mode="floor")
    places = places + top_left.to(pixels.device)[:, None, None, :]
    # From pixels to grid_sample's coordinates: x first, -1 to 1 from one image border to the other.
    grid = ((2 * places + 1) / pixels.shape[-1] - 1).flip(-1)
    views = functional.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)
    return _jittered(views * inside[:, None], options, draw)


def _places(
    sizes: Tensor, options: ViewOptions, draw: Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Where each pixel of a view lies in its cell's image, and whether it is inside that image.

    Args:
        sizes: height and width of the cells, float32 (n, 2).

    Returns:
        row and column in the cell's image, float32 (n, crop, crop, 2); and inside, bool
        (n, crop, crop).
    """
    n, crop = len(sizes), options.crop_px
    spare = sizes - crop
    anywhere = (torch.rand(n, 2, generator=draw) * (spare + 1)).floor()
    corner = torch.where(spare > 0, anywhere, torch.div(spare + 1, 2, rounding_mode="floor"))
    angle = (2 * torch.rand(n, generator=draw) - 1) * options.turn_deg * (torch.pi / 180)
    mirror = 1.0 - 2.0 * (torch.rand(n, 2, generator=draw) < options.flip)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
    middle = ((sizes - 1) / 2).to(device)[:, None, None, :]
    along = torch.arange(crop, dtype=torch.float32, device=device)
    frame = torch.stack(torch.meshgrid(along, along, indexing="ij"), -1)
    from_middle = frame + corner.to(device)[:, None, None, :] - middle
    inside = (from_middle.abs() <= middle + 0.5).all(-1)
    turned = torch.einsum("nij,nhwj->nhwi", (mirror[:, :, None] * turn).to(device), from_middle)
    return turned + middle, inside


def _jittered(views: Tensor, options: ViewOptions, draw: Generator) -> Tensor:
    """The views with other amounts of stain, or in grey; black stays black."""
    n = len(views)
    if options.jitter:
        common, own = torch.randn(n, 1, generator=draw), torch.randn(n, 3, generator=draw)
        strength = torch.exp(options.jitter * (common + own) / 2**0.5)
        views = 255 * (views / 255) ** strength.to(views.device)[:, :, None, None]
    if options.grey:
        grey = (torch.rand(n, generator=draw) < options.grey).to(views.device)
        views = torch.where(grey[:, None, None, None], views.mean(1, keepdim=True), views)
    return views
