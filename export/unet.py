"""The mask network: a small U-Net that labels each pixel background, cytoplasm or nucleus.

After Ronneberger et al. 2015 (arXiv 1505.04597), designed to run in integers on one core: only
convolutions, batch normalisation and ReLU, bilinear upsampling, which stays in integers, and no
wide layer at full resolution. The first and the last layer fold 2 x 2 pixels into channels.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vexas_edge.cells.limits import MASK_CLASSES

# Channels per level; for an image of 128 px, their grids are 64, 32, 16 and 8 px wide.
WIDTHS = (24, 48, 64, 96)

# The clear slide is looked for in blocks of this size, far smaller than the gaps between red cells.
BLOCK_PX = 8
# If even the brightest block is darker than this, there is no clear slide to measure the lamp by.
DARKEST_LIGHT = 32.0

_CROPS_PER_CALL = 8


class UNet(nn.Module):
    """The network: float32 (N, 3, S, S), RGB of 0 to 255, to logits (N, 3, S, S).

    S is a multiple of 16.
    """

    def __init__(self) -> None:
        super().__init__()
        first = nn.Sequential(*_layer(3, WIDTHS[0], 6, 2), *_layer(WIDTHS[0]))
        self.levels = nn.ModuleList([first])
        for above, width in pairwise(WIDTHS):
            self.levels.append(nn.Sequential(*_layer(above, width, 3, 2), *_layer(width)))
        self.narrowing, self.joining = nn.ModuleList(), nn.ModuleList()
        for width, below in zip(WIDTHS[-2::-1], WIDTHS[::-1], strict=False):
            self.narrowing.append(nn.Sequential(*_layer(below, width, 1)))
            self.joining.append(nn.Sequential(*_layer(2 * width, width)))
        self.last = nn.Conv2d(WIDTHS[0], 4 * len(MASK_CLASSES), 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return unfolded(self.folded_logits(lit_evenly(images)))

    def folded_logits(self, light: Tensor) -> Tensor:
        """Logits (N, 12, S / 2, S / 2), the four pixels of each 2 x 2 block as channels.

        Args:
            light: (N, 3, S, S), the share of light that each pixel lets through.
        """
        kept, x = [], light
        for level in self.levels:
            x = level(x)
            kept.append(x)
        for narrow, join, skipped in zip(self.narrowing, self.joining, kept[-2::-1], strict=True):
            x = functional.interpolate(narrow(x), scale_factor=2.0, mode="bilinear")
            x = join(torch.cat([x, skipped], 1))
        return self.last(x)


def probabilities_from_crops(network: UNet, crops: np.ndarray) -> np.ndarray:
    """Probabilities of each pixel's classes, float32 (N, 3, S, S), computed by torch.

    Args:
        network: in evaluation mode.
        crops: uint8 (N, S, S, 3) RGB.
    """
    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        parts = [network(part).softmax(1) for part in images.split(_CROPS_PER_CALL)]
    return torch.cat(parts).numpy()


def lit_evenly(images: Tensor) -> Tensor:
    """The share of the lamp's light that each pixel lets through, about 0 to 1.

    In each channel the brightest block is taken to be the lamp seen through the clear slide, so
    that neither lamp nor white balance matters.

    Args:
        images: float32 (N, 3, S, S), RGB of 0 to 255.
    """
    lamp = functional.avg_pool2d(images, BLOCK_PX).amax((2, 3), keepdim=True)
    return images / lamp.clamp_min(DARKEST_LIGHT)


def unfolded(logits: Tensor) -> Tensor:
    """Logits of each class at full resolution, from those of `folded_logits`."""
    return functional.pixel_shuffle(logits, 2)


def _layer(channels: int, width: int = 0, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    width, padding = width or channels, (kernel - stride + 1) // 2
    convolution = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]
