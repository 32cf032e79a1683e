"""Trains the mask network on images with masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor
from torch.nn import functional

from export.unet import UNet
from training.mask_network.augmentation import Variation, sources_from_images, vary
from training.mask_network.masks import MaskedImage
from vexas_edge.errors import UsageError
from vexas_edge.host.cpu import has_bfloat16
from vexas_edge.talk import Progress


@dataclass(frozen=True, kw_only=True)
class SegmenterRecipe:
    """How the mask network is trained.

    steps: batches to learn from.
    batch: images per batch.
    side_px: the side of the squares that views are taken from.
    bfloat16: whether convolutions compute in bfloat16 if the CPU can, which is a third faster;
        weights stay in float32.
    variation: how far views differ.
    """

    steps: int = 3000
    batch: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    side_px: int = 192
    seed: int = 0
    bfloat16: bool = True
    variation: Variation = field(default_factory=Variation)


def train_segmenter(
    images: Sequence[MaskedImage], recipe: SegmenterRecipe, progress: Progress
) -> UNet:
    """The mask network trained on these images, in evaluation mode.

    The same images, recipe, CPU and number of threads lead to the same weights.

    Raises:
        UsageError: the recipe has no steps, or fewer than two images per batch.
    """
    if recipe.steps < 1 or recipe.batch < 2:
        raise UsageError(
            f"the recipe has {recipe.steps} steps of {recipe.batch} images; expected at least 1 "
            "step of 2 images"
        )
    bfloat16 = recipe.bfloat16 and has_bfloat16()
    sources = sources_from_images(images, recipe.side_px)
    generator = Generator().manual_seed(recipe.seed)
    network = _new_network(recipe.seed)
    # torch's stub lacks a module's `memory_format`.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer, schedule = _optimizer(network, recipe)
    for step, rows in enumerate(_batches(len(images), recipe, generator), start=1):
        views, shares = vary(sources[rows], recipe.variation, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = network(views.to(memory_format=torch.channels_last))
        loss = mask_loss(logits.float(), shares)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress(f"loss {loss.item():.3f}", step, recipe.steps)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network.eval()


def mask_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy plus the mean of 1 - Dice of the whole cell and of the nucleus.

    Args:
        logits: float32 (N, 3, H, W).
        shares: of each class in each pixel, float32 (N, 3, H, W).
    """
    probabilities = logits.softmax(1)
    lacking = [
        1 - _dice(1 - probabilities[:, 0], 1 - shares[:, 0]),
        1 - _dice(probabilities[:, 2], shares[:, 2]),
    ]
    return functional.cross_entropy(logits, shares) + torch.stack(lacking).mean()


def _dice(found: Tensor, true: Tensor) -> Tensor:
    """The Dice coefficient, mean over images; 1 if both are empty."""
    both = 2 * (found * true).sum((1, 2)) + 1
    return (both / (found.sum((1, 2)) + true.sum((1, 2)) + 1)).mean()


def _new_network(seed: int) -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UNet().train()


def _optimizer(
    network: UNet, recipe: SegmenterRecipe
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW, whose rate first rises and then falls to zero (Smith 2018, arXiv 1708.07120)."""
    rate = recipe.learning_rate
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=recipe.steps + 1, pct_start=0.15
    )
    return optimizer, schedule


def _batches(n: int, recipe: SegmenterRecipe, generator: Generator) -> Iterator[Tensor]:
    """The indices of each step's images: all in a random order, then all in another, and so on."""
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(recipe.steps):
        while len(order) < recipe.batch:
            order = torch.cat([order, torch.randperm(n, generator=generator)])
        yield order[: recipe.batch]
        order = order[recipe.batch :]
