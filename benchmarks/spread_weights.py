"""Random weights that tell cells apart, in place of a trained encoder in tests and benchmarks.

Ordinary random weights map all cells to nearly the same direction, so that nothing downstream (a
kernel, a quantiser, a gate) is exercised. Three choices make the network as robust to rounding as a
trained one: smooth filters, weak channels that stay weak, and gates (squeeze-excitation) that are
only centred.
"""

import torch
from torch import Tensor, nn

# Share of a random filter that is kept besides its mean, since cells differ in large shapes.
DETAIL = 0.1


@torch.no_grad()
def spread_weights(module: nn.Module, images: Tensor, seed: int, centre: float = 0.0) -> None:
    """Give `module` seeded random weights, each layer scaled in turn by its outputs for `images`.

    Afterwards `module` is in evaluation mode, and over `images` each channel of a convolution or
    linear layer with a bias has mean zero, each channel of a batch normalisation has the mean
    `centre`, and both have at most unit variance (after Mishkin and Matas, arXiv 1511.06422).

    Args:
        images: about 8 or more distinct cells, preprocessed, float32 (N, 3, H, W).
        centre: 1 keeps a deep network of smooth gates (EfficientNet) out of their bends; at 0,
            float32 rounding alone moves its encodings by 4e-5, as float64 shows.
    """
    generator = torch.Generator().manual_seed(seed)
    hooks = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            _randomise(layer, generator)
            hooks.append(layer.register_forward_hook(_standardise))
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
            layer.bias.fill_(centre)
            hooks.append(layer.register_forward_pre_hook(_measure))
    module.eval()
    module(images)
    for hook in hooks:
        hook.remove()


def _randomise(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    nn.init.orthogonal_(layer.weight, generator=generator)
    if layer.weight.dim() == 4:
        smooth = layer.weight.mean((2, 3), keepdim=True)
        layer.weight.mul_(DETAIL).add_(smooth)
    if layer.bias is not None:
        layer.bias.zero_()


def _standardise(layer: nn.Conv2d | nn.Linear, _: object, output: Tensor) -> Tensor | None:
    if layer.bias is None:  # a batch normalisation follows
        return None
    mean, std = _channel_statistics(output)
    layer.weight.div_(std.view(-1, *[1] * (layer.weight.dim() - 1)))
    layer.bias.copy_(-mean / std)
    across = (1, -1, *[1] * (output.dim() - 2))
    return (output - mean.view(across)) / std.view(across)


def _measure(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    mean, std = _channel_statistics(inputs[0])
    layer.get_buffer("running_mean").copy_(mean)
    layer.get_buffer("running_var").copy_(std.square())


def _channel_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the divisor of each channel, float32 (C,) each."""
    over = [0, *range(2, x.dim())]
    mean = x.mean(over)
    if x[0, 0].numel() == 1:
        return mean, torch.ones_like(mean)
    std = x.std(over, correction=0)
    return mean, std.clamp_min(std.square().mean().sqrt())
