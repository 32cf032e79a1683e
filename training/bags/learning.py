"""What the network of bags learns from some patients, for `training.judging`.

The number of epochs is chosen on inner folds of the patients to fit on, by the loss out of fold;
the network is then trained on all of them for as many steps.
"""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from export.inputs import sha256_of_file
from training.bags.bags import Bags
from training.bags.inputs import CellInputs
from training.bags.trainer import BagOptions, BagTraining, loss_of
from training.judging.folds import fold_indices
from training.judging.learnt import Learnt
from training.judging.stacking import AskedCovariate, columns_of, described
from training.pretraining.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from vexas_edge.errors import InputError
from vexas_edge.talk import Say

_INNER_FOLDS = 4
_SECONDS_BETWEEN_CHECKPOINTS = 20
_LOGITS = "logits"


@dataclass(frozen=True, kw_only=True)
class TaughtBags(Learnt):
    """What the patients to fit on taught, with the network that was trained on all of them.

    epochs: how many it was trained for.
    """

    training: BagTraining
    epochs: int


@dataclass(frozen=True, kw_only=True)
class BagLearning:
    """Learning of the network from rows of patients.

    asked: covariates that the network's head takes, where the options join them there.
    folder: of the checkpoints of all trainings, by which an interrupted run goes on.
    """

    bags: Bags
    positive: str
    options: BagOptions
    inputs: CellInputs
    asked: Sequence[AskedCovariate]
    folder: Path
    say: Say

    @cached_property
    def truth(self) -> np.ndarray:
        """Whether each patient is in the positive group, bool (P,)."""
        return np.array([group == self.positive for group in self.bags.groups])

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What all trainings have in common, for their checkpoints."""
        options = asdict(self.options) | {"epochs": None}
        if self.options.start:
            options["start"] = sha256_of_file(Path(self.options.start))
        asked = [asdict(one) for one in self.asked] if self.options.joined == "head" else []
        cells = self.bags.cells.sha256()
        return {"options": options, "covariates": asked, "cells": cells}

    def __call__(self, fit: np.ndarray) -> TaughtBags:
        by_epoch, sizes = np.empty((self.options.epochs, len(fit))), []
        for inner_fit, inner_judge in fold_indices(self.truth[fit], _INNER_FOLDS):
            sizes.append(len(inner_fit))
            by_epoch[:, inner_judge] = self._by_epoch(fit[inner_fit], fit[inner_judge])
        if not np.isfinite(by_epoch).all():
            raise InputError(
                f"logits are not finite any more; use a lower rate than {self.options.rate:g}"
            )
        truth, balanced = self.truth[fit], self.options.balanced
        losses = [loss_of(logits, truth, balanced=balanced) for logits in by_epoch]
        best = int(np.argmin(losses))
        self.say(f"{best + 1} of {len(losses)} epochs, loss out of fold {losses[best]:.3f}")
        # As many steps as in the inner folds, so that logits of others are on the same scale.
        steps = [math.ceil(n / self.options.patients) for n in (*sizes, len(fit))]
        epochs = max(1, round((best + 1) * float(np.mean(steps[:-1])) / steps[-1]))
        training = self._trained(self._facts_of(fit, fit[:0], epochs), fit, fit[:0])
        return TaughtBags(
            out_of_fold=by_epoch[best], score=training.logits, training=training, epochs=epochs
        )

    def _by_epoch(self, fit: np.ndarray, judge: np.ndarray) -> list[list[float]]:
        """The logits of some patients after each epoch on others; in the end only they are kept."""
        facts = self._facts_of(fit, judge, self.options.epochs)
        file = self._file(facts)
        history = read_checkpoint(file, facts).history if file.exists() else []
        if len(history) < self.options.epochs:
            history = self._trained(facts, fit, judge).history
            write_checkpoint(Checkpoint(tensors={}, options=facts, history=history), file)
        return [record[_LOGITS] for record in history]

    def _trained(self, facts: dict[str, Any], fit: np.ndarray, judge: np.ndarray) -> BagTraining:
        """A training on some patients; its history has the logits of others after each epoch."""
        columns, epochs, file = self._columns(fit), facts["until"], self._file(facts)
        training = BagTraining(self.options, self.inputs, self.bags, self.truth, fit, columns)
        if file.exists():
            training.resume(read_checkpoint(file, facts))
        written = time.monotonic()
        while len(training.history) < epochs:
            training.epoch()
            training.history[-1][_LOGITS] = training.logits(judge).tolist()
            late = time.monotonic() - written > _SECONDS_BETWEEN_CHECKPOINTS
            if late or len(training.history) == epochs:
                write_checkpoint(training.checkpoint(facts), file)
                written = time.monotonic()
        return training

    def _facts_of(self, fit: np.ndarray, judge: np.ndarray, epochs: int) -> dict[str, Any]:
        """Everything that a training depends on."""
        columns = self._columns(fit)
        names = [[self.bags.patients[i] for i in rows] for rows in (fit, judge)]
        return {
            **self._facts,
            "fit": names[0],
            "judge": names[1],
            "until": epochs,
            "positive": self.truth[fit].tolist(),
            "starts": list(self.bags.starts),
            "columns": None if columns is None else columns.tolist(),
        }

    def _file(self, facts: dict[str, Any]) -> Path:
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        return self.folder / f"{key}.safetensors"

    def _columns(self, fit: np.ndarray) -> np.ndarray | None:
        if self.options.joined != "head" or not self.asked:
            return None
        values = self.bags.covariates
        found = [described(one, values, fit) for one in self.asked]
        return columns_of(found, values, self.bags.patients)
