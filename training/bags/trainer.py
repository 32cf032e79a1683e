"""Trains the network of bags, epoch by epoch."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from export.backbones import seeded_backbone
from export.backbones.backbone import Backbone, keep_statistics
from export.backbones.halves import Trained, cut_backbone
from export.bags.aggregation import AggregationOptions
from export.bags.network import BagNetwork
from export.preprocessing import preprocessing_named
from training.bags.bags import Bags
from training.bags.inputs import CellInputs, CellViews
from training.judging.stacking import fitted_stack
from training.pretraining.checkpoint import Checkpoint, load_moments, moments_of, parted
from training.pretraining.pixels import scaling_on
from vexas_edge.bundle.models import EncodingKind
from vexas_edge.errors import InputError, UsageError

Joined = Literal["stacked", "head"]
_CELLS_PER_CALL = 256


@dataclass(frozen=True, kw_only=True)
class BagOptions:
    """How bags are learnt from; epochs and patients are those of the lymphocytosis study.

    start: the encoder's weights to start from; None for random ones, with all of it trained.
    train: the head alone, on features that are computed once; the encoder's last stages, too; or
        all of it.
    last: how many stages with parameters are trained by "last".
    encoding: whether features are divided by their L2 norm.
    views: how cells are shown in training: as they are, mirrored, or turned by quarters, too.
    gradient_cells: how many cells of a patient learn in a step; the others are looked at alone.
        None means all.
    balanced: whether each group weighs the same.
    joined: how covariates come in: by a regression on the finished score, or in the network's head.
    rate, encoder_rate: of learning, of the head and of the encoder's stages, which are trained
        already and so can do with far less; None means the same.
    patients: per batch.
    """

    backbone: str = "squeezenet11"
    preprocessing: str = "keras-caffe"
    start: str | None = None
    train: Trained = "head"
    last: int = 4
    aggregation: AggregationOptions = field(default_factory=AggregationOptions)
    encoding: EncodingKind = "l2"
    views: CellViews = "flips"
    gradient_cells: int | None = None
    balanced: bool = True
    joined: Joined = "stacked"
    rate: float = 1e-4
    encoder_rate: float | None = None
    weight_decay: float = 0.0
    epochs: int = 40
    patients: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        words = ("rate", "encoder_rate", "epochs", "patients", "gradient_cells")
        given = {word: getattr(self, word) for word in words if getattr(self, word) is not None}
        if min(given.values()) <= 0:
            found = ", ".join(f"{word} is {value}" for word, value in given.items())
            raise UsageError(f"{found}; all must be above 0")
        if self.start is None and self.train != "all":
            raise UsageError(
                f"train is {self.train!r}, which leaves some of the encoder as it starts, but no "
                "start is given; name its weights, or train all of it"
            )


class BagTraining:
    """A run: the network, and everything that its next epoch depends on.

    All batch normalisation of an encoder with a start keeps the statistics that it starts with. A
    run that is resumed ends with the same weights, bit for bit on a CPU with the same number of
    threads.

    history: a record per epoch so far, with its mean loss.
    backbone: the whole encoder, whose last stages are the network's.
    """

    def __init__(
        self,
        options: BagOptions,
        inputs: CellInputs,
        bags: Bags,
        positive: np.ndarray,
        fit: np.ndarray,
        columns: np.ndarray | None = None,
    ) -> None:
        """Start a run; features are standardised by the cells of the patients to learn from.

        Args:
            inputs: of the bags' cells, from `kept_inputs` with the same options.
            positive: whether each patient is in the positive group, bool (P,).
            fit: rows of the patients to learn from.
            columns: standardised covariates of all patients for the network's head, float64 (P, M).
        """
        self.options = options
        self.history: list[dict[str, Any]] = []
        self._inputs, self._bags = inputs, bags
        self._positive, self._fit = torch.from_numpy(positive), torch.from_numpy(fit)
        self._draw = Generator().manual_seed(options.seed)
        self._columns = None if columns is None else torch.from_numpy(columns).float()
        n_covariates = 0 if columns is None else columns.shape[1]
        self.backbone, self.network = new_network(options, n_covariates)
        self.network.eval()
        if columns is not None:
            # They begin as the covariates alone have them, as few steps would hardly move them.
            alone = fitted_stack(columns[fit], positive[fit])
            self.network.begin_with(torch.from_numpy(alone.weights), alone.bias)
        rows = torch.cat([bags.rows(int(patient)) for patient in fit])
        self.network.standardise(self._features_as_they_are(rows))
        self._optimizer = _optimizer(self.network, options)

    def epoch(self) -> None:
        """Learn from each patient once.

        Raises:
            InputError: the loss is not finite any more.
        """
        self.network.train()
        if self.options.start:
            keep_statistics(self.network.late)
        order = self._fit[torch.randperm(len(self._fit), generator=self._draw)]
        share = self._positive[self._fit].float().mean()
        total = 0.0
        for batch in order.split(self.options.patients):
            truth = self._positive[batch].float()
            weight = torch.where(truth > 0, 0.5 / share, 0.5 / (1 - share))
            loss = functional.binary_cross_entropy_with_logits(
                self._logits(batch), truth, weight if self.options.balanced else None
            )
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            total += float(loss.detach()) * len(batch)
        mean = total / len(order)
        if not math.isfinite(mean):
            raise InputError(f"the loss is {mean}; use a lower rate than {self.options.rate:g}")
        self.history.append({"loss": mean})

    def logits(self, patients: np.ndarray) -> np.ndarray:
        """The logits of these patients by all their cells as they are, float64 (n,)."""
        self.network.eval()
        found = []
        with torch.inference_mode():
            for patient in patients.tolist():
                rows = self._bags.rows(patient)
                answers = self.network.answers(self._features_as_they_are(rows), [len(rows)])
                found.append(float(self._with_covariates(answers.bags, torch.tensor([patient]))))
        return np.array(found, np.float64)

    def checkpoint(self, facts: dict[str, Any]) -> Checkpoint:
        """Everything that the rest of the run depends on.

        Args:
            facts: what another run must have in common with this one to continue it.
        """
        tensors = parted(
            network=self.network.state_dict(),
            optimizer=moments_of(self._optimizer),
            run={"generator": self._draw.get_state()},
        )
        return Checkpoint(tensors=tensors, options=facts, history=self.history)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continue from the checkpoint of a run with the same facts."""
        self.network.load_state_dict(checkpoint.part("network"))
        load_moments(self._optimizer, checkpoint.part("optimizer"))
        self._draw.set_state(checkpoint.part("run")["generator"])
        self.history = list(checkpoint.history)

    def _logits(self, batch: Tensor) -> Tensor:
        rows = [self._bags.rows(int(patient)) for patient in batch]
        features = torch.cat([self._features(own) for own in rows])
        answers = self.network.answers(features, [len(own) for own in rows])
        return self._with_covariates(answers.bags, batch)

    def _features_as_they_are(self, rows: Tensor) -> Tensor:
        """Features of cells that are neither mirrored nor turned, some cells at a time."""
        with torch.no_grad():
            parts = [
                self.network.features(self._inputs.of(part, torch.zeros_like(part)))
                for part in rows.split(_CELLS_PER_CALL)
            ]
        return torch.cat(parts)

    def _features(self, rows: Tensor) -> Tensor:
        """Features of one patient's cells in training, of which some may learn and others not."""
        views = torch.randint(self._inputs.n_views, (len(rows),), generator=self._draw)
        early, most = self._inputs.of(rows, views), self.options.gradient_cells
        if most is None or most >= len(rows):
            return self.network.features(early)
        order = torch.randperm(len(rows), generator=self._draw)
        with torch.no_grad():
            still = self.network.features(early[order[most:]])
        learning = self.network.features(early[order[:most]])
        return torch.cat([learning, still])[order.argsort()]

    def _with_covariates(self, bags: Tensor, patients: Tensor) -> Tensor:
        if self._columns is None:
            return bags
        return bags + self._columns[patients] @ self.network.covariates


def _optimizer(network: BagNetwork, options: BagOptions) -> torch.optim.AdamW:
    late = list(network.late.parameters())
    own = {id(parameter) for parameter in late}
    head = [parameter for parameter in network.parameters() if id(parameter) not in own]
    rates = [(late, options.encoder_rate or options.rate), (head, options.rate)]
    groups = [{"params": parameters, "lr": rate} for parameters, rate in rates if parameters]
    return torch.optim.AdamW(groups, options.rate, weight_decay=options.weight_decay)


def new_network(options: BagOptions, n_covariates: int) -> tuple[Backbone, BagNetwork]:
    """The encoder, and the network before it is trained; the same for the same seed."""
    backbone = seeded_backbone(options.backbone, options.start, options.seed)
    halves = cut_backbone(backbone, options.train, options.last)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(options.seed)
        return backbone, BagNetwork(
            backbone, halves.late, options.aggregation, options.encoding, n_covariates
        )


def kept_inputs(options: BagOptions, bags: Bags) -> CellInputs:
    """The early half's output for all cells, which every run with these options can share."""
    backbone, network = new_network(options, 0)
    halves = cut_backbone(backbone.eval(), options.train, options.last)
    network.eval()
    halves.early.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    scaling = scaling_on(torch.device("cpu"), preprocessing_named(options.preprocessing))
    pool = network.features if options.train == "head" else lambda maps: maps
    return CellInputs(bags.cells.pixels, halves.early, scaling, options.views, pool)


def loss_of(logits: np.ndarray, positive: np.ndarray, *, balanced: bool) -> float:
    """The cross-entropy of logits, float64 (n,), with each group weighing the same if asked."""
    losses = np.logaddexp(0, np.where(positive, -logits, logits))
    if not balanced:
        return float(losses.mean())
    return float((losses[positive].mean() + losses[~positive].mean()) / 2)
