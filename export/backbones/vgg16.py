"""VGG16 without its classifier (Simonyan and Zisserman, arXiv 1409.1556, configuration D)."""

from collections.abc import Iterator
from typing import ClassVar

from torch import nn

from export.backbones.backbone import Backbone

# Convolutions per stage and their width; each stage ends in a 2x2 maximum pooling.
STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


class VGG16(Backbone):
    """The encoder: float32 (N, 3, H, W) to float32 (N, 512); H and W at least 32."""

    absent_parts: ClassVar[tuple[str, ...]] = ("classifier.",)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for depth, width in STAGES:
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def stages(self) -> Iterator[nn.Module]:
        return iter(self.features)
