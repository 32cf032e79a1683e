"""Inception-v3 without its classifiers (Szegedy et al., arXiv 1512.00567).

The branches keep torchvision's names, and torchvision's two differences from Keras: average
pooling counts the zero padding, and batch normalisation has a scale. There is no
`transform_input`, as if it were False: the input is already in [-1, 1].
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.backbones.backbone import Backbone


class ConvNorm(nn.Module):
    """A convolution, batch normalisation and ReLU, padded to keep the grid's size by default."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        height_width = (kernel, kernel) if isinstance(kernel, int) else kernel
        if padding is None:
            padding = (height_width[0] // 2, height_width[1] // 2)
        self.conv = nn.Conv2d(channels, width, height_width, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _reducing(channels: int, width: int) -> ConvNorm:
    """A 3x3 convolution that halves the grid, without padding."""
    return ConvNorm(channels, width, 3, stride=2, padding=0)


def _averaged(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1)


class Grid35(nn.Module):
    """Joins branches of 1x1, 5x5, two 3x3 and pooling on the 35x35 grid (the paper's figure 5)."""

    def __init__(self, channels: int, pool_width: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(channels, 64)
        self.branch5x5_1 = ConvNorm(channels, 48)
        self.branch5x5_2 = ConvNorm(48, 64, 5)
        self.branch3x3dbl_1 = ConvNorm(channels, 64)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3)
        self.branch_pool = ConvNorm(channels, pool_width)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(_averaged(x))], 1)


class Reduce35To17(nn.Module):
    """Reduces the grid from 35x35 to 17x17 by strides and by pooling (figure 10)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = _reducing(channels, 384)
        self.branch3x3dbl_1 = ConvNorm(channels, 64)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3)
        self.branch3x3dbl_3 = _reducing(96, 96)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class Grid17(nn.Module):
    """Joins 7x7 convolutions on the 17x17 grid, split into rows and columns (figure 6).

    inner: the width of these rows and columns.
    """

    def __init__(self, inner: int) -> None:
        super().__init__()
        row, column = (1, 7), (7, 1)
        self.branch1x1 = ConvNorm(768, 192)
        self.branch7x7_1 = ConvNorm(768, inner)
        self.branch7x7_2 = ConvNorm(inner, inner, row)
        self.branch7x7_3 = ConvNorm(inner, 192, column)
        self.branch7x7dbl_1 = ConvNorm(768, inner)
        self.branch7x7dbl_2 = ConvNorm(inner, inner, column)
        self.branch7x7dbl_3 = ConvNorm(inner, inner, row)
        self.branch7x7dbl_4 = ConvNorm(inner, inner, column)
        self.branch7x7dbl_5 = ConvNorm(inner, 192, row)
        self.branch_pool = ConvNorm(768, 192)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_averaged(x))], 1)


class Reduce17To8(nn.Module):
    """Reduces the grid from 17x17 to 8x8; one branch has a 7x7 convolution before its stride."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNorm(768, 192)
        self.branch3x3_2 = _reducing(192, 320)
        self.branch7x7x3_1 = ConvNorm(768, 192)
        self.branch7x7x3_2 = ConvNorm(192, 192, (1, 7))
        self.branch7x7x3_3 = ConvNorm(192, 192, (7, 1))
        self.branch7x7x3_4 = _reducing(192, 192)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, stride=2)], 1)


class Grid8(nn.Module):
    """Joins branches on the 8x8 grid; the 3x3 ones end in a row beside a column (figure 7)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        row, column = (1, 3), (3, 1)
        self.branch1x1 = ConvNorm(channels, 320)
        self.branch3x3_1 = ConvNorm(channels, 384)
        self.branch3x3_2a = ConvNorm(384, 384, row)
        self.branch3x3_2b = ConvNorm(384, 384, column)
        self.branch3x3dbl_1 = ConvNorm(channels, 448)
        self.branch3x3dbl_2 = ConvNorm(448, 384, 3)
        self.branch3x3dbl_3a = ConvNorm(384, 384, row)
        self.branch3x3dbl_3b = ConvNorm(384, 384, column)
        self.branch_pool = ConvNorm(channels, 192)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        mixed = [
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(_averaged(x)),
        ]
        return torch.cat(mixed, 1)


class InceptionV3(Backbone):
    """The encoder: float32 (N, 3, H, W) to float32 (N, 2048); H and W at least 75."""

    absent_parts: ClassVar[tuple[str, ...]] = ("AuxLogits.", "fc.")

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _reducing(3, 32)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, 3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = ConvNorm(64, 80)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, 3, padding=0)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b = Grid35(192, pool_width=32)
        self.Mixed_5c = Grid35(256, pool_width=64)
        self.Mixed_5d = Grid35(288, pool_width=64)
        self.Mixed_6a = Reduce35To17(288)
        self.Mixed_6b = Grid17(inner=128)
        self.Mixed_6c = Grid17(inner=160)
        self.Mixed_6d = Grid17(inner=160)
        self.Mixed_6e = Grid17(inner=192)
        self.Mixed_7a = Reduce17To8()
        self.Mixed_7b = Grid8(1280)
        self.Mixed_7c = Grid8(2048)

    def stages(self) -> Iterator[nn.Module]:
        return self.children()  # in the order they are declared above
