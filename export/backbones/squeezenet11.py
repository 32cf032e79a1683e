"""SqueezeNet 1.1 without its classifier (Iandola et al., arXiv 1602.07360; release 1.1)."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from export.backbones.backbone import Backbone

# Channels that come in, that are squeezed to, and that each of the two expansions gives; None is a
# pooling.
PARTS = (
    *(None, (64, 16, 64), (128, 16, 64)),
    *(None, (128, 32, 128), (256, 32, 128)),
    *(None, (256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)),
)


class Fire(nn.Module):
    """A 1x1 convolution to a few channels, then 1x1 and 3x3 convolutions side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], 1)


class SqueezeNet11(Backbone):
    """The encoder: float32 (N, 3, H, W) to float32 (N, 512); H and W at least 17."""

    absent_parts: ClassVar[tuple[str, ...]] = ("classifier.",)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 2), nn.ReLU()]
        layers += [Fire(*part) if part else nn.MaxPool2d(3, 2, ceil_mode=True) for part in PARTS]
        self.features = nn.Sequential(*layers)

    def stages(self) -> Iterator[nn.Module]:
        return iter(self.features)
