"""One crop made to look like another microscope's: views, pasted neighbours, stain, lens, camera.

A mask network learns from some hundred images of one scanner and is to work on others. What differs
between scanners is drawn anew for each view; stain is varied in optical density, where dyes add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional

from export.unet import CLASSES, lit_evenly
from training.masks import MaskedImage
from vexas_edge.isolation import GRID_PX

Span = tuple[float, float]

_DARKEST = 0.01  # of the lamp's light
_BLUR_REACH_PX = 4


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How far views differ; spans are lowest and highest, spreads are standard deviations.

    sides: of a view, over the crop's. stretch: of one axis over the other, as a logarithm. shift:
    of the view's centre, over the crop's side. pasted: share of views with another crop's cell in
    them. mixing: of each light channel's density with the others'. strength: of the density, as a
    logarithm; once for all, then for the cell and for its surroundings apart. apart: share of views
    where these two are stained apart. gamma: as a logarithm. lamp: of each channel. gradient:
    of the lamp over the view. blur_px, noise: of 255. jpeg: share of views; jpeg_quality.
    """

    sides: Span = (0.75, 2.0)
    stretch: float = 0.06
    shift: float = 0.28
    pasted: float = 0.35
    mixing: float = 0.12
    strength: float = 0.3
    apart: float = 0.6
    nucleus: float = 0.25
    gamma: float = 0.2
    lamp: Span = (0.65, 1.0)
    gradient: float = 0.08
    blur_px: Span = (0.0, 1.3)
    noise: Span = (0.0, 5.0)
    jpeg: float = 0.5
    jpeg_quality: tuple[int, int] = (40, 95)


def sources_from_images(images: Sequence[MaskedImage], side_px: int) -> Tensor:
    """What views are taken from: float32 (N, 6, S, S), evenly lit RGB and each class's share."""
    squares = [image.resized(side_px) for image in images]
    pixels = torch.from_numpy(np.stack([square.pixels for square in squares]))
    classes = torch.from_numpy(np.stack([square.classes for square in squares])).long()
    shares = functional.one_hot(classes, len(CLASSES)).permute(0, 3, 1, 2)
    light = lit_evenly(pixels.permute(0, 3, 1, 2).float())
    return torch.cat([light, shares.float()], 1)


def vary(sources: Tensor, variation: Variation, generator: Generator) -> tuple[Tensor, Tensor]:
    """A new view of each source, as a camera gives it, and what its pixels are.

    Args:
        sources: float32 (N, 6, S, S), from `sources_from_images`.

    Returns:
        float32 (N, 3, GRID_PX, GRID_PX), whole numbers of 0 to 255, and the share of each class in
        each pixel, float32 (N, 3, GRID_PX, GRID_PX).
    """
    draw = _Draw(variation, generator, len(sources))
    light, shares = draw.view(sources).split(3, 1)
    light, shares = draw.paste(light, shares, sources)
    light = draw.stain(light, shares)
    light = draw.blur(draw.light_up(light))
    return draw.photograph(light), shares


class _Draw:
    """The random choices for one batch."""

    def __init__(self, variation: Variation, generator: Generator, n: int) -> None:
        self._of = variation
        self._generator = generator
        self._n = n

    def view(self, sources: Tensor) -> Tensor:
        """Another look at each source: turned, mirrored, nearer or farther, shifted."""
        n = len(sources)
        angle = self._uniform(n, (0.0, 2 * torch.pi))
        side = torch.exp(self._uniform(n, tuple(np.log(self._of.sides))))
        stretch = torch.exp(self._normal(n, self._of.stretch))
        mirror = 1.0 - 2.0 * (self._uniform(n, (0, 1)) < 0.5)
        cos, sin = torch.cos(angle) * side, torch.sin(angle) * side
        rows = [torch.stack([cos * stretch, -sin * mirror], 1), torch.stack([sin, cos * mirror], 1)]
        shift = self._uniform((n, 2, 1), (-1, 1)) * 2 * self._of.shift
        theta = torch.cat([torch.stack(rows, 1), shift * side.clamp_min(1).view(-1, 1, 1)], 2)
        grid = functional.affine_grid(theta, [n, 1, GRID_PX, GRID_PX], align_corners=False)
        return functional.grid_sample(sources, grid, padding_mode="reflection", align_corners=False)

    def paste(self, light: Tensor, shares: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
        """Another crop's cells over some of the views, as if they lay on the same slide."""
        pasted = torch.nonzero(self._uniform(self._n, (0, 1)) < self._of.pasted).ravel()
        if not len(pasted):
            return light, shares
        others = torch.randint(self._n, (len(pasted),), generator=self._generator)
        other_light, other_shares = self.view(sources[others]).split(3, 1)
        other_light = self.stain(other_light, other_shares)
        cell = 1 - other_shares[:, :1]
        light, shares = light.clone(), shares.clone()
        light[pasted] = cell * other_light + (1 - cell) * light[pasted]
        shares[pasted] = cell * other_shares + (1 - cell) * shares[pasted]
        return light, shares

    def stain(self, light: Tensor, shares: Tensor) -> Tensor:
        """The light through other amounts and hues of dye, in the cell and around it apart."""
        n = len(light)
        density = -torch.log(light.clamp_min(_DARKEST))
        everywhere, cell = self._dye(n), self._dye(n)
        apart = (self._uniform((n, 1, 1), (0, 1)) < self._of.apart).float()
        around = apart * self._dye(n) + (1 - apart) * cell
        nucleus = cell * torch.exp(self._normal((n, 1, 1), self._of.nucleus))
        density = sum(
            torch.einsum("nij,njhw->nihw", everywhere @ dye, density) * shares[:, i : i + 1]
            for i, dye in enumerate((around, cell, nucleus))
        )
        return torch.exp(-density.clamp_min(-0.1))

    def light_up(self, light: Tensor) -> Tensor:
        """Through another lamp, camera curve and white balance; float32, about 0 to 255."""
        n = len(light)
        gamma = torch.exp(self._normal((n, 1, 1, 1), self._of.gamma))
        lamp = 255 * self._uniform((n, 3, 1, 1), self._of.lamp)
        axis = torch.linspace(-1, 1, light.shape[-1])
        slopes = self._normal((n, 2, 1, 1), self._of.gradient / 2)
        uneven = 1 + slopes[:, :1] * axis + slopes[:, 1:] * axis[:, None]
        return lamp * uneven * light.clamp_min(_DARKEST) ** gamma

    def blur(self, light: Tensor) -> Tensor:
        """Out of focus by another amount each."""
        n, reach = len(light), _BLUR_REACH_PX
        sigma = self._uniform((n, 1), self._of.blur_px).clamp_min(0.2)
        kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
        kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None, None]
        x = functional.pad(light, [reach] * 4, mode="replicate").reshape(
            1, 3 * n, -1, light.shape[-1] + 2 * reach
        )
        x = functional.conv2d(x, kernel, groups=3 * n)
        x = functional.conv2d(x, kernel.transpose(2, 3), groups=3 * n)
        return x.reshape(light.shape)

    def photograph(self, light: Tensor) -> Tensor:
        """Grain, whole levels, and for some views the marks of JPEG."""
        n = len(light)
        noise = self._uniform((n, 1, 1, 1), self._of.noise)
        grain = torch.randn(light.shape, generator=self._generator)
        images = (light + noise * grain).round().clamp(0, 255)
        chosen = torch.nonzero(self._uniform(n, (0, 1)) < self._of.jpeg).ravel().tolist()
        low, high = self._of.jpeg_quality
        qualities = torch.randint(low, high + 1, (n,), generator=self._generator).tolist()
        for i in chosen:
            images[i] = _jpeg(images[i], qualities[i])
        return images

    def _dye(self, n: int) -> Tensor:
        """How one density becomes another, (n, 3, 3)."""
        strength = torch.exp(self._normal((n, 1, 1), self._of.strength))
        return strength * (torch.eye(3) + self._normal((n, 3, 3), self._of.mixing))

    def _uniform(self, shape: int | tuple[int, ...], span: Span) -> Tensor:
        shape = shape if isinstance(shape, tuple) else (shape,)
        return span[0] + (span[1] - span[0]) * torch.rand(shape, generator=self._generator)

    def _normal(self, shape: int | tuple[int, ...], spread: float) -> Tensor:
        shape = shape if isinstance(shape, tuple) else (shape,)
        return spread * torch.randn(shape, generator=self._generator)


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """The image (3, H, W) of 0 to 255 as it comes back from a JPEG file."""
    file = BytesIO()
    pixels = image.permute(1, 2, 0).to(torch.uint8).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float()
