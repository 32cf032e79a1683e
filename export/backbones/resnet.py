"""ResNet-18 and ResNet-50 without their classifier (He et al., arXiv 1512.03385).

As in torchvision, a bottleneck's stride sits in its 3x3 convolution; Keras puts it in the first
1x1, so Keras's ResNet50 weights do not fit here.
"""

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor, nn

from export.backbones.backbone import Backbone

STAGE_WIDTHS = (64, 128, 256, 512)


def _conv3x3(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)


def _shortcut(channels: int, width: int, stride: int) -> nn.Sequential | None:
    """The layers that bring a block's input to its output's shape; None if the shapes are equal."""
    if stride == 1 and channels == width:
        return None
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + shortcut)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1, beside a shortcut; the output is four times as wide."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(channels, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + shortcut)


class ResNet(Backbone):
    """The encoder: float32 (N, 3, H, W) to float32 (N, 512 x the block's expansion)."""

    absent_parts: ClassVar[tuple[str, ...]] = ("fc.",)
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, block: type[BasicBlock | Bottleneck], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = 64
        for number, (depth, width) in enumerate(zip(depths, STAGE_WIDTHS, strict=True), start=1):
            stage = nn.Sequential()
            for index in range(depth):
                stage.append(block(channels, width, 2 if number > 1 and index == 0 else 1))
                channels = width * block.expansion
            self.add_module(f"layer{number}", stage)

    def stages(self) -> Iterator[nn.Module]:
        stem = (self.conv1, self.bn1, self.relu, self.maxpool)
        layers = (self.layer1, self.layer2, self.layer3, self.layer4)
        return iter((*stem, *(block for layer in layers for block in layer)))


def resnet18() -> ResNet:
    """ResNet-18; D = 512."""
    return ResNet(BasicBlock, (2, 2, 2, 2))


def resnet50() -> ResNet:
    """ResNet-50; D = 2048."""
    return ResNet(Bottleneck, (3, 4, 6, 3))
