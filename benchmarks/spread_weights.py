"""Random weights that still tell cells apart: the stand-in for a trained encoder in tests.

Untouched random weights map all cells to nearly one direction, so that nothing downstream (a
kernel, a quantiser, a gate) is exercised. Three choices keep the result as calm as a trained
network, so that rounding is not blown up layer by layer: smooth filters, weak channels that stay
weak, and gates (squeeze-excitation) that are centred only.
"""

import torch
from torch import Tensor, nn

# Share of a random filter that is kept beside its own mean; cells differ in large shapes.
DETAIL = 0.1


@torch.no_grad()
def spread_weights(module: nn.Module, images: Tensor, seed: int, centre: float = 0.0) -> None:
    """Seeded weights for `module`, each layer scaled in turn on what reaches it from `images`.

    images: float32 (N, 3, H, W), preprocessed, some 8 or more distinct cells. Afterwards every
    convolution or linear layer with a bias gives zero mean, every batch normalisation the mean
    `centre`, and both at most unit variance in each channel over `images` (after Mishkin and
    Matas, arXiv 1511.06422), and `module` is in evaluation mode. A `centre` of 1 keeps a deep
    network of smooth gates (EfficientNet) out of their bends: at 0 float32 rounding alone moves
    its encodings by 4e-5, as float64 shows.
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
    """Mean and divisor of each channel, float32 (C,) each."""
    over = [0, *range(2, x.dim())]
    mean = x.mean(over)
    if x[0, 0].numel() == 1:
        return mean, torch.ones_like(mean)
    std = x.std(over, correction=0)
    return mean, std.clamp_min(std.square().mean().sqrt())
