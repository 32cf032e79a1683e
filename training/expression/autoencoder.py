"""Pretrains an encoder without labels: what it keeps of a cell must give the cell's genes again."""

from itertools import pairwise

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from export.vectors.network import VectorEncoder
from training.expression.options import ExpressionOptions
from training.expression.scaled import ScaledRows


def pretrain_autoencoder(
    encoder: VectorEncoder, cells: ScaledRows, options: ExpressionOptions
) -> tuple[float, ...]:
    """Train the half of an encoder that compresses, in place; gives the mean error of each epoch.

    The other half of the autoencoder has the same widths in the other order, and is left behind.
    Of what the network is shown, some features are left out, as `options.input_dropout` has it;
    all of them must come back. It draws from torch's global seed.

    Args:
        cells: those to learn from.
    """
    sizes = encoder.sizes
    widths = (sizes.width, *reversed(sizes.hidden))
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    decoder = nn.Sequential(*layers, nn.Linear(widths[-1], sizes.n_features))
    parameters = [*encoder.compress.parameters(), *decoder.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=options.pretrain_rate, weight_decay=0.0)
    draw = Generator().manual_seed(options.seed)
    errors: list[float] = []
    for _ in range(options.pretrain_epochs):
        total = 0.0
        for chosen in torch.randperm(len(cells), generator=draw).split(options.batch_size):
            scaled = cells.of(chosen.numpy())
            error = functional.mse_loss(decoder(encoder.compress(shown(scaled, options))), scaled)
            optimiser.zero_grad()
            error.backward()
            optimiser.step()
            total += error.item() * len(chosen)
        errors.append(total / len(cells))
    return tuple(errors)


def shown(scaled: Tensor, options: ExpressionOptions) -> Tensor:
    """What a network in training is shown of cells: some features left out, some noise added.

    Args:
        scaled: float32 (n, G).
    """
    if options.input_dropout:
        scaled = functional.dropout(scaled, options.input_dropout)
    if options.noise:
        scaled = scaled + options.noise * torch.randn_like(scaled)
    return scaled


def compressed_rows(encoder: VectorEncoder, cells: ScaledRows) -> Tensor:
    """What the encoder keeps of each cell, float32 (N, width)."""
    with torch.inference_mode():
        parts = [encoder.compress(scaled) for scaled in cells.in_turn()]
    return torch.cat(parts) if parts else torch.zeros(0, encoder.sizes.width)


def drawn_rows(n: int, most: int, seed: int) -> np.ndarray:
    """At most so many rows of n, drawn by the seed, in their order, int64."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
