"""Makes a crop look as if it came from another microscope: view, neighbours, stain, lens, camera.

A mask network learns from about a hundred images of one scanner, but has to work on others. So
everything that differs between scanners is drawn anew for each view. Stain is varied in optical
density, in which dyes add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional

from export.unet import lit_evenly
from training.mask_network.masks import MaskedImage
from vexas_edge.cells.limits import GRID_PX, MASK_CLASSES

Span = tuple[float, float]

_DARKEST = 0.01  # as a share of the lamp's light
_BLUR_REACH_PX = 5


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How far views differ. A span is the lowest and the highest value, drawn evenly between them.

    The view:
    sides: the side that a view shows, over the crop's side.
    stretch: of one axis against the other; standard deviation of its logarithm.
    shift: of the centre, at most, over the crop's side.
    pasted: share of views into which another crop's cell is pasted.

    The stain; each view takes a random share, from none to all, of these standard deviations:
    mixing: of each channel's density into the others.
    strength: of all densities, as a logarithm; drawn once for the view and once for the cell.
    apart: share of views whose surroundings have a strength and mixing of their own.
    nucleus: of the nucleus against its cell, as a logarithm.

    Dirt:
    specks: twice their mean number.
    speck_px, speck_density: their radius and optical density.

    The lamp and the camera:
    gamma: standard deviation of its logarithm.
    lamp: brightness of each channel, over 255.
    gradient: of the lamp over the view, standard deviation.
    blur_px: radius of the blur.
    softness: 1 for a blurred view, negative for a sharpened one.
    noise: standard deviation, in levels of 255.
    jpeg, jpeg_quality: share of views that have been a JPEG, and its quality.
    ending: share of views that cross the edge of a scan.
    """

    sides: Span = (0.75, 2.0)
    stretch: float = 0.06
    shift: float = 0.28
    pasted: float = 0.35
    mixing: float = 0.17
    strength: float = 0.42
    apart: float = 0.6
    nucleus: float = 0.35
    specks: int = 10
    speck_px: Span = (0.5, 5.0)
    speck_density: Span = (-0.3, 1.4)
    gamma: float = 0.2
    lamp: Span = (0.65, 1.0)
    gradient: float = 0.08
    blur_px: Span = (0.2, 1.8)
    softness: Span = (-0.6, 1.0)
    noise: Span = (0.0, 5.0)
    jpeg: float = 0.5
    jpeg_quality: tuple[int, int] = (40, 95)
    ending: float = 0.05


def sources_from_images(images: Sequence[MaskedImage], side_px: int) -> Tensor:
    """The images from which views are taken, float32 (N, 6, S, S): evenly lit RGB, then classes.

    Args:
        side_px: S, to which the images are resized.
    """
    squares = [image.resized(side_px) for image in images]
    pixels = torch.from_numpy(np.stack([square.pixels for square in squares]))
    classes = torch.from_numpy(np.stack([square.classes for square in squares])).long()
    shares = functional.one_hot(classes, len(MASK_CLASSES)).permute(0, 3, 1, 2)
    light = lit_evenly(pixels.permute(0, 3, 1, 2).float())
    return torch.cat([light, shares.float()], 1)


def vary(sources: Tensor, variation: Variation, generator: Generator) -> tuple[Tensor, Tensor]:
    """A new view of each source, as a camera would record it, and the classes of its pixels.

    Args:
        sources: float32 (N, 6, S, S), from `sources_from_images`.

    Returns:
        pixels float32 (N, 3, GRID_PX, GRID_PX), whole numbers from 0 to 255; and the share of each
        class in each pixel, float32 (N, 3, GRID_PX, GRID_PX).
    """
    draw = _Draw(variation, generator, len(sources))
    light, shares = draw.view(sources).split(3, 1)
    light, shares = draw.paste(light, shares, sources)
    light = draw.litter(draw.stain(light, shares), shares)
    light = draw.focus(draw.light_up(light))
    light, shares = draw.end_scan(light, shares)
    return draw.photograph(light), shares


class _Draw:
    """The steps that change one batch, each by random choices."""

    def __init__(self, variation: Variation, generator: Generator, n: int) -> None:
        self._of = variation
        self._generator = generator
        self._n = n

    def view(self, sources: Tensor) -> Tensor:
        """Each source rotated, mirrored, enlarged or reduced, and shifted."""
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
        """The views, some with another crop's cell pasted in as if it lay on the same slide."""
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
        """The light with other amounts and hues of dye, drawn for the cell and its surroundings."""
        n = len(light)
        density = -torch.log(light.clamp_min(_DARKEST))
        severity = self._uniform((n, 1, 1), (0, 1))
        everywhere, cell = self._dye(severity), self._dye(severity)
        apart = (self._uniform((n, 1, 1), (0, 1)) < self._of.apart).float()
        around = apart * self._dye(severity) + (1 - apart) * cell
        nucleus = cell * torch.exp(severity * self._normal((n, 1, 1), self._of.nucleus))
        stained = torch.zeros_like(density)
        for i, dye in enumerate((around, cell, nucleus)):
            of_class = torch.einsum("nij,njhw->nihw", everywhere @ dye, density)
            stained += of_class * shares[:, i : i + 1]
        return torch.exp(-stained.clamp_min(-0.1))

    def litter(self, light: Tensor, shares: Tensor) -> Tensor:
        """The light with specks beside the cell, like platelets, precipitate or glints."""
        n, most = len(light), self._of.specks
        rows, columns = self._uniform((2, n, most, 1, 1), (0, GRID_PX))
        axis = torch.arange(GRID_PX)
        distance = torch.hypot(axis[:, None] - rows, axis - columns)
        radius = self._uniform((n, most, 1, 1), self._of.speck_px)
        there = (self._uniform((n, most, 1, 1), (0, 1)) < 0.5) * torch.sigmoid(
            2 * (radius - distance)
        )
        density = self._uniform((n, most, 1), self._of.speck_density)
        density = density * self._uniform((n, most, 3), (0.3, 1.3))
        beside = torch.einsum("nkhw,nkc->nchw", there, density) * shares[:, :1]
        return light * torch.exp(-beside)

    def light_up(self, light: Tensor) -> Tensor:
        """The light under another lamp, camera curve and white balance, float32, about 0 to 255."""
        n = len(light)
        gamma = torch.exp(self._normal((n, 1, 1, 1), self._of.gamma))
        lamp = 255 * self._uniform((n, 3, 1, 1), self._of.lamp)
        axis = torch.linspace(-1, 1, light.shape[-1])
        slopes = self._normal((n, 2, 1, 1), self._of.gradient / 2)
        uneven = 1 + slopes[:, :1] * axis + slopes[:, 1:] * axis[:, None]
        return lamp * uneven * light.clamp_min(_DARKEST) ** gamma

    def focus(self, light: Tensor) -> Tensor:
        """The light out of focus, or sharpened until edges ring, differently in each channel."""
        n, reach = len(light), _BLUR_REACH_PX
        sigma = self._uniform((n, 1), self._of.blur_px) * torch.exp(self._normal((n, 3), 0.3))
        axis = torch.arange(-reach, reach + 1)
        kernel = torch.exp(-0.5 * (axis / sigma.clamp_min(0.2).view(-1, 1)) ** 2)
        kernel = (kernel / kernel.sum(1, keepdim=True))[:, None, None]
        x = functional.pad(light, [reach] * 4, mode="replicate").flatten(0, 1)[None]
        x = functional.conv2d(x, kernel, groups=3 * n)
        x = functional.conv2d(x, kernel.transpose(2, 3), groups=3 * n)
        softness = self._uniform((n, 1, 1, 1), self._of.softness)
        return light + softness * (x.view(light.shape) - light)

    def end_scan(self, light: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """The views, some ending in a black band like crops at the edge of a scan."""
        ending = self._uniform(self._n, (0, 1)) < self._of.ending
        kept = torch.where(ending, self._uniform(self._n, (0.7, 1.0)), torch.ones(self._n))
        beyond = (torch.linspace(0, 1, GRID_PX) > kept[:, None]).float()[:, None, :, None]
        turned = self._uniform((self._n, 1, 1, 1), (0, 1)) < 0.5
        beyond = torch.where(turned, beyond, beyond.transpose(2, 3))
        background = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        return light * (1 - beyond), beyond * background + (1 - beyond) * shares

    def photograph(self, light: Tensor) -> Tensor:
        """The views with noise, in whole levels, some after JPEG compression."""
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

    def _dye(self, severity: Tensor) -> Tensor:
        """Random matrices that turn one optical density into another, (n, 3, 3)."""
        n = len(severity)
        strength = torch.exp(severity * self._normal((n, 1, 1), self._of.strength))
        return strength * (torch.eye(3) + severity * self._normal((n, 3, 3), self._of.mixing))

    def _uniform(self, shape: int | tuple[int, ...], span: Span) -> Tensor:
        shape = shape if isinstance(shape, tuple) else (shape,)
        return span[0] + (span[1] - span[0]) * torch.rand(shape, generator=self._generator)

    def _normal(self, shape: int | tuple[int, ...], spread: float) -> Tensor:
        shape = shape if isinstance(shape, tuple) else (shape,)
        return spread * torch.randn(shape, generator=self._generator)


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """The image (3, H, W), 0 to 255, after it was saved as a JPEG and read again."""
    file = BytesIO()
    pixels = image.permute(1, 2, 0).to(torch.uint8).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float()
