"""Contrastive learning of an encoder on cells without labels, as in the VEXAS paper.

Chabrun et al., CCLM 2023, 10.1515/cclm-2022-1283. All defaults are the paper's; anything beyond it
has to be asked for.
"""

import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from export.backbones import build_backbone, load_weights
from export.backbones.backbone import keep_statistics
from export.preprocessing import preprocessing_named
from training.pretraining.batches import BatchOptions
from training.pretraining.cell_stack import CellStack
from training.pretraining.checkpoint import Checkpoint, load_moments, moments_of, parted
from training.pretraining.contrast import (
    contrastive_accuracy,
    contrastive_loss,
    correlation_accuracy,
    neighbour_accuracy,
    new_queue,
    pushed,
    sample_halves,
)
from training.pretraining.epoch import Views, draw_epoch
from training.pretraining.graphed import UsualSteps, capture_for
from training.pretraining.pace import PaceOptions, is_over, rate_at
from training.pretraining.pixels import encode_pixels, network_input, scaling_on
from training.pretraining.supply import some_pixels
from training.pretraining.views import ViewOptions, views_from_numbers
from vexas_edge.errors import InputError, UsageError
from vexas_edge.talk import Progress

Record = dict[str, Any]

# The order in memory that convolutions of each kind of device are given.
_FORMATS = {"cpu": torch.channels_last, "cuda": torch.contiguous_format}
_WATCHED = ("loss", "contrastive_accuracy", "correlation_accuracy")


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """How an encoder is pretrained; the defaults are the paper's, for neutrophils.

    start: a file of weights to start from; None for random ones. The paper started from ImageNet's.
    batch_norm: whether batch normalisation learns its statistics or keeps those of `start`, as it
        does in the paper; None keeps them where there is a start, so that the encoding of a cell
        does not depend on those beside it.
    projection: width of both layers of the projection head.
    queue: length of NNCLR's queue; 0 for none.
    temperature: what similarities are divided by in the loss.
    weight_decay: above 0, AdamW is used instead of Adam.
    seed: of first weights, batches and views.
    """

    backbone: str = "vgg16"
    preprocessing: str = "keras-caffe"
    start: str | None = None
    batch_norm: Literal["frozen", "learned"] | None = None
    views: ViewOptions = field(default_factory=ViewOptions)
    projection: int = 128
    queue: int = 0
    temperature: float = 0.07
    batch: BatchOptions = field(default_factory=BatchOptions)
    weight_decay: float = 0.0
    pace: PaceOptions = field(default_factory=PaceOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.projection < 1:
            raise UsageError(
                f"temperature is {self.temperature} and projection {self.projection}; both must be "
                "above 0"
            )
        if self.batch_norm == "frozen" and not self.start:
            raise UsageError("batch_norm is 'frozen', and there is no start to keep statistics of")

    @property
    def keeps_statistics(self) -> bool:
        """Whether batch normalisation keeps the statistics that it starts with."""
        return self.start is not None and self.batch_norm != "learned"


class Pretraining:
    """A run of pretraining: the networks and everything else that the next epoch depends on.

    A run that is resumed from a checkpoint ends with the same weights, bit for bit on a CPU with
    the same number of threads.

    history: a record per epoch so far.
    """

    def __init__(
        self,
        cells: CellStack,
        options: PretrainOptions,
        *,
        probe: CellStack | None = None,
        device: str = "cpu",
    ) -> None:
        """Start a run.

        Args:
            cells: to learn from.
            probe: labelled cells; how well the encoder tells them apart is recorded per epoch.

        Raises:
            UsageError, InputError: the weights, the cells or the probe cannot be used.
        """
        if len(cells) < 2:
            raise InputError("there is only one cell; contrastive learning needs at least two")
        self.options = options
        self.history: list[Record] = []
        self._device = torch.device(device)
        self._cells = cells.on(self._device)
        self._probe = probe.on(self._device) if probe else None
        self._halves = sample_halves(probe.labels, probe.samples) if probe else []
        self._preprocessing = preprocessing_named(options.preprocessing)
        self._draw = torch.Generator().manual_seed(options.seed)
        self._encoder, self._head = _networks(options)
        # What every name in the file of the weights began with, for the user.
        self.prefix = load_weights(self._encoder, options.start) if options.start else ""
        self._encoder.to(self._device, memory_format=_FORMATS[self._device.type])  # type: ignore[call-overload]
        self._head.to(self._device)
        self._queue = new_queue(options.queue, options.projection, self._draw).to(self._device)
        self._optimizer = _optimizer([self._encoder, self._head], options)
        self._scaling = scaling_on(self._device, self._preprocessing)
        self._steps = self._usual_steps()
        self._best = parted(best=self._encoder.state_dict())

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint must have in common with this run for it to continue from there, flat.

        Found out once, as it takes a hash of all cells.
        """
        return _facts(self.options, self._cells, self._probe)

    @property
    def is_over(self) -> bool:
        """Whether no further epoch is to be run."""
        return is_over(self._losses, self.options.pace)

    def run_epoch(self, progress: Progress) -> Record:
        """Learn from every cell once; returns the epoch's record, with means over cells.

        Raises:
            InputError: the loss is not finite any more, or no batch of two cells can be made.
        """
        epoch = draw_epoch(self._cells, self.options.batch, self.options.views, self._draw)
        sizes, n_batches = epoch.sizes, len(epoch.sizes)
        sums = torch.zeros(len(_WATCHED), dtype=torch.float64, device=self._device)
        for number, views in enumerate(epoch.on(self._device, self._cells.pixels.device).batches()):
            rate = rate_at(self._losses, (number + 0.5) / n_batches, self.options.pace)
            sums += sizes[number] * self._step(*views, rate)
            progress(f"epoch {len(self.history) + 1}", number + 1, n_batches)
        means = (sums / sum(sizes)).tolist()
        record: Record = {"epoch": len(self.history) + 1, "rate": rate}
        record |= dict(zip(_WATCHED, means, strict=True))
        if not math.isfinite(record["loss"]):
            raise InputError(
                f"the loss is {record['loss']} in epoch {record['epoch']}; use a lower rate. The "
                "checkpoint of the epoch before is unchanged"
            )
        if self._probe:
            record["probe_accuracy"] = self._probe_accuracy(self._probe)
        if record["loss"] < min(self._losses, default=math.inf):
            self._best = parted(best=self._encoder.state_dict())
        self.history.append(record)
        return record

    def best_weights(self) -> dict[str, Tensor]:
        """The encoder's weights after the epoch with the least loss, on the CPU."""
        return {name.removeprefix("best."): tensor for name, tensor in self._best.items()}

    def checkpoint(self) -> Checkpoint:
        """Everything that the rest of the run depends on."""
        tensors = parted(
            encoder=self._encoder.state_dict(),
            head=self._head.state_dict(),
            optimizer=moments_of(self._optimizer),
            run={"queue": self._queue, "generator": self._draw.get_state()},
        )
        return Checkpoint(tensors=tensors | self._best, options=self.facts, history=self.history)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continue from the checkpoint of a run with the same options and cells."""
        self._encoder.load_state_dict(checkpoint.part("encoder"))
        self._head.load_state_dict(checkpoint.part("head"))
        load_moments(self._optimizer, checkpoint.part("optimizer"))
        run = checkpoint.part("run")
        self._queue = run["queue"].to(self._device)
        self._steps = self._usual_steps()  # a graph would go on with the tensors that it knows
        self._draw.set_state(run["generator"])
        self._best = parted(best=checkpoint.part("best"))
        self.history = list(checkpoint.history)

    @property
    def _losses(self) -> list[float]:
        return [record["loss"] for record in self.history]

    def _usual_steps(self) -> UsualSteps:
        capture = capture_for(self._cells.pixels, self._optimizer)
        return UsualSteps(self._learn, self.options.batch.size, capture)

    def _step(self, views: Views, others: Views, rate: float) -> Tensor:
        """Learn from one batch; returns its `_WATCHED` figures, float64 (3,), on the device."""
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        return self._steps(views.rows, views.numbers, others.rows, others.numbers)

    def _learn(
        self, rows: Tensor, numbers: Tensor, other_rows: Tensor, other_numbers: Tensor
    ) -> Tensor:
        """One step at the optimizer's rate, which may be captured: it changes all in place."""
        # Before autocast: in bfloat16 the places in a cell would be off by up to a quarter pixel.
        inputs = self._network_input(rows, numbers), self._network_input(other_rows, other_numbers)
        with torch.autocast(self._device.type, torch.bfloat16, self._device.type == "cuda"):
            # In separate calls, so that neither view enters the other's batch statistics.
            first, second = self._encoder(inputs[0]), self._encoder(inputs[1])
            projected = self._head(first).float(), self._head(second).float()
        loss = contrastive_loss(*projected, self._queue, self.options.temperature)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        if len(self._queue):
            self._queue.copy_(pushed(self._queue, projected[0]))
        seen = first.detach().float(), second.detach().float()
        watched = loss.detach(), contrastive_accuracy(*seen), correlation_accuracy(*seen)
        return torch.stack(watched).double()

    def _network_input(self, rows: Tensor, numbers: Tensor) -> Tensor:
        pixels = some_pixels(self._cells.pixels, rows, self._device)
        shown = views_from_numbers(pixels, numbers, self.options.views)
        return network_input(shown, self._scaling)

    def _probe_accuracy(self, probe: CellStack) -> float:
        encodings = encode_pixels(self._encoder, probe.pixels, self._preprocessing)
        return neighbour_accuracy(encodings, probe.labels, self._halves)


def _facts(options: PretrainOptions, cells: CellStack, probe: CellStack | None) -> dict[str, Any]:
    flat = asdict(options)
    for part in ("views", "batch", "pace"):
        flat |= {f"{part}.{name}": value for name, value in flat.pop(part).items()}
    if options.start:
        from export.inputs import sha256_of_file

        flat["start"] = sha256_of_file(Path(options.start))
    return flat | {"cells": cells.sha256(), "probe": probe.sha256() if probe else None}


def _networks(options: PretrainOptions) -> tuple[nn.Module, nn.Module]:
    """The encoder and the projection head, in training mode; what is frozen excepted."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(options.seed)
        encoder = build_backbone(options.backbone)
        hidden = options.projection
        head = nn.Sequential(nn.Linear(encoder.width, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
    encoder.train()
    if options.keeps_statistics:
        keep_statistics(encoder)
    return encoder, head.train()


def _optimizer(modules: list[nn.Module], options: PretrainOptions) -> torch.optim.Optimizer:
    parameters = [parameter for module in modules for parameter in module.parameters()]
    decay = options.weight_decay
    rate: float | Tensor = options.pace.rate
    fused = None
    if parameters[0].is_cuda:
        # One call on a GPU for all parameters; a CPU keeps torch's default, which rounds otherwise.
        rate, fused = torch.tensor(rate, device=parameters[0].device), True
    if decay:
        return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=fused)
    return torch.optim.Adam(parameters, rate, fused=fused)
