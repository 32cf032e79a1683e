"""What labelled cells teach: a scaling, an encoder and a linear layer that tells their classes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional

from export.bags.aggregation import Aggregation, AggregationOptions
from export.vectors.network import AnchorGraph, VectorEncoder, build_vector_encoder
from export.vectors.scaling import FeatureScaling
from export.vectors.sizes import EncoderSizes
from training.expression.autoencoder import (
    compressed_rows,
    drawn_rows,
    pretrain_autoencoder,
    shown,
)
from training.expression.cells import ExpressionCells
from training.expression.options import ExpressionOptions
from training.expression.scaled import ExpressionRows, ScaledRows, scaling_for
from vexas_edge.errors import InputError, UsageError


@dataclass(frozen=True, kw_only=True, eq=False)
class LearntExpression:
    """A model, as some cells taught it.

    scaling: of cells' numbers, fitted on these cells alone.
    encoder: in evaluation mode.
    weight, bias: of the linear layer on its encodings, float32 (C, head_width) and (C,).
    classes: the C labels, in alphabetical order.
    features: the names of the numbers.
    aggregation: how a case's cells weigh, where labels are told of cases; else None.
    """

    scaling: FeatureScaling
    encoder: VectorEncoder
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    classes: tuple[str, ...]
    features: tuple[str, ...]
    aggregation: Aggregation | None = None

    def logits(self, rows: ExpressionRows) -> NDArray[np.float64]:
        """The logit of each class of each cell, float64 (N, C).

        Args:
            rows: numbers as they were read, float32 (N, G).
        """
        encodings = self.encodings(rows)
        return (encodings @ self.weight.T + self.bias).astype(np.float64)

    def encodings(self, rows: ExpressionRows) -> NDArray[np.float32]:
        """What the encoder gives for each cell, float32 (N, head_width)."""
        with torch.inference_mode():
            parts = [self.encoder(scaled) for scaled in ScaledRows(rows, self.scaling).in_turn()]
        return np.concatenate([part.numpy() for part in parts])

    def case_logits(
        self, logits: NDArray[np.float64], samples: NDArray[np.str_]
    ) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """The samples by name, and the logit of each class of each, float64 (S, C).

        Args:
            logits: of cells, float64 (N, C).
            samples: of cells, str (N,).
        """
        names = tuple(np.unique(samples).tolist())
        found = [torch.from_numpy(logits[samples == name]).float() for name in names]
        with torch.inference_mode():
            joined = [_joined(own, self.aggregation) for own in found]
        return names, torch.stack(joined).numpy().astype(np.float64)


def _joined(logits: Tensor, aggregation: Aggregation | None) -> Tensor:
    """A case's logits, float32 (C,), from those of its cells, float32 (n, C)."""
    if aggregation is None or aggregation.options.method == "mean":
        return logits.mean(0)
    marks = aggregation.marks(logits, logits[:, 1] - logits[:, 0])
    return (aggregation.weights(marks)[:, None] * logits).sum(0)


@dataclass(frozen=True, kw_only=True)
class ExpressionLearning:
    """Learning with the same options from any cells."""

    options: ExpressionOptions

    def __call__(self, cells: ExpressionCells) -> LearntExpression:
        """What these cells teach; the same cells teach the same on a CPU.

        Raises:
            InputError: all are of one class; or cells of one sample have several labels, where
                labels are told of cases.
            UsageError: weights of cells are to be learned for other than two classes.
        """
        options, classes = self.options, cells.classes
        if len(classes) < 2:
            raise InputError(f"all cells are of the class {classes}; at least two are needed")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            return _Training(cells, options).learnt()


class _Training:
    """One training: what is trained, and the cells that it is trained on."""

    def __init__(self, cells: ExpressionCells, options: ExpressionOptions) -> None:
        self._cells, self._options = cells, options
        self._classes = cells.classes
        self._scaled = ScaledRows(cells.rows, scaling_for(cells.rows, options))
        truth = np.searchsorted(self._classes, cells.labels)
        self._truth = torch.from_numpy(truth)
        counts = np.bincount(truth).astype(np.float64)
        weights = (counts / counts.mean()) ** -options.class_power
        self._class_weights = torch.from_numpy(weights).float()
        self._anchors = drawn_rows(len(cells), options.anchors, options.seed)
        self._anchor_of = torch.full((len(cells),), -1)
        self._anchor_of[torch.from_numpy(self._anchors)] = torch.arange(len(self._anchors))
        self._encoder = build_vector_encoder(_sizes_for(cells, options))
        self._classify = nn.Linear(self._encoder.sizes.head_width, len(self._classes))
        self._aggregation = self._new_aggregation()

    def learnt(self) -> LearntExpression:
        self._pretrain()
        self._train()
        self._encoder.eval()
        return LearntExpression(
            scaling=self._scaled.scaling,
            encoder=self._encoder,
            weight=self._classify.weight.detach().numpy().copy(),
            bias=self._classify.bias.detach().numpy().copy(),
            classes=self._classes,
            features=self._cells.features,
            aggregation=self._aggregation and self._aggregation.eval(),
        )

    def _new_aggregation(self) -> Aggregation | None:
        options = self._options
        if options.per == "cell":
            return None
        if options.weighting == "learned" and len(self._classes) != 2:
            raise UsageError(
                f"weights can be learned for two classes, and there are {len(self._classes)}; "
                "take their mean"
            )
        return Aggregation(AggregationOptions(method=options.weighting), len(self._classes))

    def _pretrain(self) -> None:
        wanted = self._options.pretrain_lineages
        own = self._cells.of_lineages(wanted) if wanted else self._cells
        rows = ScaledRows(own.rows, self._scaled.scaling)
        pretrain_autoencoder(self._encoder, rows, self._options)

    def _train(self) -> None:
        options = self._options
        head = [*self._encoder.body.parameters(), *self._classify.parameters()]
        if self._aggregation:
            head += self._aggregation.parameters()
        groups = [{"params": head, "lr": options.rate}]
        if options.fine_tune:
            rate = options.rate * options.encoder_rate
            groups.append({"params": list(self._encoder.compress.parameters()), "lr": rate})
        optimiser = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.epochs)
        draw = Generator().manual_seed(options.seed)
        for _ in range(options.epochs):
            self._keep_anchors()
            for bags in self._batches(draw):
                loss = self._loss(bags)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            schedule.step()
        self._keep_anchors()

    def _keep_anchors(self) -> None:
        if isinstance(self._encoder.body, AnchorGraph):
            rows = ScaledRows(self._cells.rows[self._anchors], self._scaled.scaling)
            self._encoder.body.set_anchors(compressed_rows(self._encoder, rows))

    def _batches(self, draw: Generator) -> Iterator[list[Tensor]]:
        """Rows of cells that are shown together: of one bag, or of a case each."""
        options = self._options
        if options.per == "cell":
            for rows in torch.randperm(len(self._cells), generator=draw).split(options.batch_size):
                yield [rows]
            return
        cases = _rows_of_cases(self._cells)
        order = torch.randperm(len(cases), generator=draw).tolist()
        for first in range(0, len(order), options.batch_cases):
            yield [
                _some(cases[place], options.bag_cells, draw)
                for place in order[first : first + options.batch_cases]
            ]

    def _loss(self, bags: list[Tensor]) -> Tensor:
        rows = torch.cat(bags)
        logits, truth = self._logits(rows), self._truth[rows]
        if self._aggregation is not None:
            parts = logits.split([len(bag) for bag in bags])
            logits = torch.stack([_joined(part, self._aggregation) for part in parts])
            truth = self._truth[torch.stack([bag[0] for bag in bags])]
        return functional.cross_entropy(logits, truth, self._class_weights)

    def _logits(self, rows: Tensor) -> Tensor:
        """Logits of cells in training, float32 (n, C)."""
        options, encoder = self._options, self._encoder
        with torch.set_grad_enabled(options.fine_tune):
            compressed = encoder.compress(shown(self._scaled.of(rows.numpy()), options))
        compressed = functional.dropout(compressed, options.dropout)
        if isinstance(encoder.body, AnchorGraph):
            encodings = encoder.body(compressed, self._anchor_of[rows])
        else:
            encodings = encoder.body(compressed)
        return self._classify(functional.dropout(encodings, options.dropout))


def _sizes_for(cells: ExpressionCells, options: ExpressionOptions) -> EncoderSizes:
    n_anchors = min(options.anchors, len(cells)) if options.head == "graph" else 0
    return EncoderSizes(
        n_features=len(cells.features),
        hidden=(options.hidden,),
        head=options.head,
        n_anchors=n_anchors,
        neighbours=max(1, min(options.neighbours, n_anchors - 1)),
    )


def _rows_of_cases(cells: ExpressionCells) -> list[Tensor]:
    """The rows of each sample's cells, int64.

    Raises:
        InputError: a sample's cells have several labels.
    """
    found: list[Tensor] = []
    for sample in np.unique(cells.samples):
        rows = np.flatnonzero(cells.samples == sample)
        if len(labels := np.unique(cells.labels[rows])) > 1:
            raise InputError(
                f"cells of the sample {str(sample)!r} have the labels {', '.join(labels)}; a case "
                "has one: name its samples apart, or learn by cell"
            )
        found.append(torch.from_numpy(rows))
    return found


def _some(rows: Tensor, most: int, draw: Generator) -> Tensor:
    """At most so many of a case's cells, drawn anew."""
    return rows[torch.randperm(len(rows), generator=draw)[:most]]
