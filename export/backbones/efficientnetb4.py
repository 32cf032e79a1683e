"""EfficientNet-B4 without its classifier (Tan and Le, arXiv 1905.11946).

Padding is torchvision's, the same on all sides; Keras pads unevenly, so its weights do not fit.
Stochastic depth is left out: it acts in training only, and this network runs trained weights.
"""

import math
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from export.backbones.backbone import Backbone

WIDTH_MULTIPLIER = 1.4
DEPTH_MULTIPLIER = 1.8


class Stage(NamedTuple):
    """One row of the paper's table 1 (EfficientNet-B0)."""

    expansion: int
    kernel: int
    stride: int
    width: int
    depth: int


B0_STEM_WIDTH = 32
B0_STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)


def _scaled_width(b0_width: int) -> int:
    """B4's width: the nearest multiple of 8 that does not lose more than a tenth."""
    exact = b0_width * WIDTH_MULTIPLIER
    nearest = max(8, int(exact + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * exact else nearest + 8


def _scaled_depth(b0_depth: int) -> int:
    return math.ceil(b0_depth * DEPTH_MULTIPLIER)


def _conv_norm(
    channels: int, width: int, kernel: int = 1, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
    )


def _conv_norm_silu(
    channels: int, width: int, kernel: int = 1, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return _conv_norm(channels, width, kernel, stride=stride, groups=groups).append(nn.SiLU())


class SqueezeExcitation(nn.Module):
    """Scales each channel by a weight computed from all channels' means (arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(nn.functional.silu(self.fc1(mean))))


class InvertedBottleneck(nn.Module):
    """A 1x1 convolution that widens, a depthwise one, channel weights, and a 1x1 that narrows."""

    def __init__(self, channels: int, width: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = channels * stage.expansion
        self.block = nn.Sequential()
        if inner != channels:
            self.block.append(_conv_norm_silu(channels, inner))
        self.block.append(_conv_norm_silu(inner, inner, stage.kernel, stride=stride, groups=inner))
        self.block.append(SqueezeExcitation(inner, channels // 4))
        self.block.append(_conv_norm(inner, width))
        self.has_shortcut = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x if self.has_shortcut else self.block(x)


class EfficientNetB4(Backbone):
    """The encoder: float32 (N, 3, H, W) to float32 (N, 1792)."""

    absent_parts: ClassVar[tuple[str, ...]] = ("classifier.",)

    def __init__(self) -> None:
        super().__init__()
        channels = _scaled_width(B0_STEM_WIDTH)
        self.features = nn.Sequential(_conv_norm_silu(3, channels, 3, stride=2))
        for stage in B0_STAGES:
            width = _scaled_width(stage.width)
            blocks = nn.Sequential()
            for index in range(_scaled_depth(stage.depth)):
                stride = stage.stride if index == 0 else 1
                blocks.append(InvertedBottleneck(channels, width, stage, stride))
                channels = width
            self.features.append(blocks)
        self.features.append(_conv_norm_silu(channels, 4 * channels))

    def stages(self) -> Iterator[nn.Module]:
        return iter(self.features)
