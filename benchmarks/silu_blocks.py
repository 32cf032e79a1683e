"""A network as users write them: convolution, batch normalisation and SiLU, again and again."""

from torch import Tensor, nn

WIDTH = 256


def silu_blocks() -> nn.Module:
    """A new one, from images (N, 3, H, W) to encodings (N, 256)."""
    return nn.Sequential(
        *(_conv_norm_silu(3, 32, 3, 2), _conv_norm_silu(32, 64, 3, 2), _Shortcut(64)),
        *(_conv_norm_silu(64, 128, 3, 2), _Shortcut(128), _Shortcut(128)),
        *(_conv_norm_silu(128, WIDTH, 3, 2), _Shortcut(WIDTH), _Shortcut(WIDTH)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def _conv_norm_silu(channels: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.SiLU(),
    )


class _Shortcut(nn.Module):
    """A narrow and a wide convolution beside a shortcut, as in YOLO's backbones."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = _conv_norm_silu(width, width // 2, 1)
        self.wide = _conv_norm_silu(width // 2, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.wide(self.narrow(x))
