"""An encoder and a linear layer that tell cells' classes apart, and how they are trained."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from export.backbones import seeded_backbone
from export.backbones.backbone import Backbone, keep_statistics
from export.backbones.halves import cut_backbone
from training.typing.classes import LearntClasses
from training.typing.inputs import ShownCells
from training.typing.options import TypingOptions
from vexas_edge.errors import InputError

_CELLS_PER_CALL = 128
_WARM_UP_STEPS = 50
_SMALLEST_SPREAD = 1e-3


class TypingNetwork(nn.Module):
    """All that is trained: the late half of the encoder and a linear layer on its features.

    Features are standardised by figures of the cells to fit on, which stay as they are at first.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, options: TypingOptions, n_classes: int) -> None:
        super().__init__()
        self.backbone: Backbone = seeded_backbone(options.backbone, options.start, options.seed)
        self._is_pooled = options.train == "head"
        self._dropout = options.dropout
        self.late = cut_backbone(self.backbone, options.train, options.last).late
        width = self.backbone.width
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.classify = nn.Linear(width, n_classes)
        nn.init.zeros_(self.classify.weight)
        nn.init.zeros_(self.classify.bias)

    def encodings(self, shown: Tensor) -> Tensor:
        """What the encoder gives, float32 (n, D), from what its early half gave."""
        return shown if self._is_pooled else self.backbone.pooled(self.late(shown))

    def forward(self, shown: Tensor) -> Tensor:
        """Logits float32 (n, C)."""
        rows = (self.encodings(shown) - self.mean) / self.spread
        return self.classify(functional.dropout(rows, self._dropout, self.training))

    def standardise(self, encodings: Tensor) -> None:
        """Take mean and spread of these encodings, float32 (n, D)."""
        self.mean.copy_(encodings.mean(0))
        self.spread.copy_(encodings.std(0).clamp_min(_SMALLEST_SPREAD))

    def layer(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights float64 (C, D) and bias (C,) of the logits, on encodings as they are."""
        weights = self.classify.weight.detach().double() / self.spread.double()
        bias = self.classify.bias.detach().double() - weights @ self.mean.double()
        return weights.numpy(), bias.numpy()


def encoded(network: TypingNetwork, shown: ShownCells, rows: np.ndarray) -> np.ndarray:
    """The encodings of cells as they are, float32 (n, D)."""
    network.eval()
    with torch.no_grad():
        parts = torch.from_numpy(rows).split(_CELLS_PER_CALL)
        return torch.cat([network.encodings(shown.as_they_are(part)) for part in parts]).numpy()


def trained_network(
    options: TypingOptions, shown: ShownCells, classes: LearntClasses, rows: np.ndarray
) -> TypingNetwork:
    """A network that has learnt from these cells, those of no learnt class left out.

    It is the same, bit for bit, on a CPU with the same number of threads.

    Raises:
        InputError: the loss is not finite any more.
    """
    allowed = torch.from_numpy(classes.allowed)
    fit = torch.from_numpy(rows[classes.allowed[rows].any(axis=1)])
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(options.seed)
        network = TypingNetwork(options, len(classes.names))
        network.standardise(torch.from_numpy(encoded(network, shown, fit.numpy())))
        weights = _weights(allowed[fit], options.class_power)
        draw = Generator().manual_seed(options.seed)
        optimizer, schedule = _optimizer(network, options, len(fit))
        by_row = dict(zip(fit.tolist(), weights.tolist(), strict=True))
        network.train()
        if options.start:
            keep_statistics(network.late)
        for batch in _batches(fit, options, draw):
            logits = network(shown.drawn(batch, draw))
            weight = torch.tensor([by_row[row] for row in batch.tolist()])
            loss = (weight * _losses(logits, allowed[batch])).sum() / weight.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if not math.isfinite(float(loss.detach())):
                raise InputError(
                    f"the loss is not finite any more; use a lower rate than {options.rate:g}"
                )
    return network.eval()


def _losses(logits: Tensor, allowed: Tensor) -> Tensor:
    """Cross-entropies float32 (n,), of the sum over the classes that each cell may be of."""
    log_shares = logits.log_softmax(1).masked_fill(~allowed, -torch.inf)
    return -log_shares.logsumexp(1)


def _weights(allowed: Tensor, power: float) -> Tensor:
    """How much each cell weighs, float32 (n,), 1 in the mean; rare classes weigh more."""
    per_class = (allowed / allowed.sum(1, keepdim=True)).sum(0).clamp_min(1)
    own = (allowed * per_class**-power).sum(1) / allowed.sum(1)
    return (own / own.mean()).float()


def _optimizer(
    network: TypingNetwork, options: TypingOptions, n_cells: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    late, head = list(network.late.parameters()), list(network.classify.parameters())
    groups = [{"params": head, "lr": options.rate}]
    groups += [{"params": late, "lr": options.encoder_rate}] if late else []
    optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
    n_steps = options.epochs * math.ceil(n_cells / options.batch_size)

    def pace(step: int) -> float:
        return min(1.0, (step + 1) / _WARM_UP_STEPS) * (1 + math.cos(math.pi * step / n_steps)) / 2

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, pace)


def _batches(fit: Tensor, options: TypingOptions, draw: Generator) -> Iterator[Tensor]:
    for _ in range(options.epochs):
        yield from fit[torch.randperm(len(fit), generator=draw)].split(options.batch_size)
