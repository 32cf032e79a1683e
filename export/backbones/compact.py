"""A small encoder of our own, for leukocytes of about 128 px on a PC without a GPU.

Depthwise-separable convolutions (Howard et al., arXiv 1704.04861) with shortcuts. Batch
normalisation and ReLU throughout: they fold into the convolutions and quantise well.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from export.backbones.backbone import Backbone

STEM_WIDTH = 24
# Width and stride of each block. At 128 px the last grid is 8x8; one step is about the width of a
# nuclear lobe.
BLOCKS = ((48, 2), (48, 1), (96, 2), (96, 1), (96, 1), (128, 2), (128, 1), (128, 1))


class SeparableBlock(nn.Module):
    """A 3x3 convolution within each channel, then a 1x1 across channels.

    It has a shortcut wherever input and output have the same shape.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, 3, stride, padding=1, groups=channels, bias=False
        )
        self.depthwise_norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, width, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.has_shortcut = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.depthwise_norm(self.depthwise(x)))
        y = self.pointwise_norm(self.pointwise(y))
        return self.relu(y + x if self.has_shortcut else y)


class Compact(Backbone):
    """The encoder: float32 (N, 3, H, W) to float32 (N, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM_WIDTH, 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(STEM_WIDTH)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential()
        channels = STEM_WIDTH
        for width, stride in BLOCKS:
            self.blocks.append(SeparableBlock(channels, width, stride))
            channels = width

    def stages(self) -> Iterator[nn.Module]:
        return iter((self.stem, self.stem_norm, self.relu, *self.blocks))
