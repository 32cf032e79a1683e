"""What some cells teach of all classes: a network and its classifier."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors.torch import load_file, save
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from export.inputs import sha256_of_file
from training.judging.folds import Fold
from training.pretraining.cell_stack import CellStack
from training.typing.classes import LearntClasses
from training.typing.familiarity import familiar_from_shape, fitted_shape
from training.typing.inputs import ShownCells
from training.typing.limits import softmax, temperature_of
from training.typing.network import TypingNetwork, encoded, trained_network
from training.typing.options import TypingOptions
from vexas_edge.errors import InputError
from vexas_edge.files import write_atomically
from vexas_edge.talk import Say
from vexas_edge.typing.familiar import Familiar, distances
from vexas_edge.version import __version__

INNER_FOLDS = 3
_CALIBRATION_FOLDS = 3

CellClassifier: TypeAlias = LogisticRegression | CalibratedClassifierCV


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What some cells taught.

    network: the encoder, trained.
    classifier: of its encodings; its classes are those that are learnt, in their order.
    familiar: what these cells look like to the encoder; None if too few patients tell how they
        differ.
    held_out: what such a network and classifier say of these cells if they had learnt from those of
        other patients alone, float64 (n, C).
    """

    network: TypingNetwork
    classifier: CellClassifier
    familiar: Familiar | None
    held_out: np.ndarray


def folds_of(
    labels: Sequence[str], owners: Sequence[str], n_folds: int, seed: int = 0
) -> list[Fold]:
    """Rows to learn from and rows to judge: each class in all folds, each patient in one.

    Raises:
        InputError: there are fewer patients, or sources where patients are not known, than folds.
    """
    n_owners = len(set(owners))
    if n_owners < n_folds:
        raise InputError(
            f"{n_folds} folds need at least as many patients, or sources where these are not "
            f"known; there are {n_owners}"
        )
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    places = np.unique(labels, return_inverse=True)[1]
    return list(splitter.split(places, places, np.unique(owners, return_inverse=True)[1]))


@dataclass(frozen=True, kw_only=True)
class TypingLearning:
    """Learning from rows of cells.

    folder: of finished trainings, which are not repeated.
    """

    cells: CellStack
    classes: LearntClasses
    options: TypingOptions
    shown: ShownCells
    folder: Path
    say: Say

    def __call__(self, fit: np.ndarray, *, n_folds: int = INNER_FOLDS) -> Taught:
        """Learn from these cells, and from inner folds of their patients.

        Args:
            fit: rows of cells, int64 (n,).
        """
        labels, owners = self._of(self.cells.labels, fit), self._of(self.cells.patients, fit)
        if len(set(owners)) < self._least_owners:
            raise InputError(
                f"cells of {len(set(owners))} patients, or sources where these are not known, are "
                f"to be learnt from; inner folds need {self._least_owners}: give more, or more "
                "--folds"
            )
        truth = self.classes.truth[fit]
        raw, far = np.zeros((len(fit), len(self.classes.names))), np.zeros(len(fit))
        for inner, judged in folds_of(labels, owners, min(n_folds, len(set(owners)))):
            network = self._network(fit[inner])
            encodings = encoded(network, self.shown, fit)
            classifier = self._classifier(network, fit[inner], encodings[inner])
            raw[judged] = self._raw(classifier, encodings[judged])
            shape = fitted_shape(encodings[inner], truth[inner])
            far[judged] = distances(encodings[judged], *shape)
        network = self._network(fit)
        encodings = encoded(network, self.shown, fit)
        classifier = self._classifier(network, fit, encodings)
        if isinstance(classifier, LogisticRegression):
            known = self.classes.allowed[fit].any(axis=1)
            temperature = temperature_of(raw[known], self.classes.allowed[fit][known])
            classifier = _cooled(classifier, temperature)
            raw = softmax(raw, temperature)
        familiar = familiar_from_shape(fitted_shape(encodings, truth), far, owners)
        return Taught(network=network, classifier=classifier, familiar=familiar, held_out=raw)

    @property
    def _least_owners(self) -> int:
        """Inner folds leave one to learn from at the least, and an SVM's own folds need two."""
        return 4 if self.options.head == "svm" else 2

    def _raw(self, classifier: CellClassifier, encodings: np.ndarray) -> np.ndarray:
        """Logits of a linear layer, or probabilities of an SVM, float64 (n, C)."""
        if isinstance(classifier, LogisticRegression):
            logits = encodings @ classifier.coef_.T + classifier.intercept_
            return logits if logits.shape[1] > 1 else np.hstack([np.zeros_like(logits), logits])
        return class_probabilities(classifier, encodings, self.classes.names)

    def _classifier(
        self, network: TypingNetwork, rows: np.ndarray, encodings: np.ndarray
    ) -> CellClassifier:
        """The network's own, or an SVM on its encodings of cells, float32 (n, D)."""
        if self.options.head == "softmax":
            return regression_of(*network.layer(), self.classes.names)
        truth = self.classes.truth[rows]
        own = rows[truth >= 0]
        labels = np.array(self.classes.names)[truth[truth >= 0]]
        svm = make_pipeline(StandardScaler(), SVC(C=self.options.C, class_weight="balanced"))
        owners = self._of(self.cells.patients, own)
        folds = folds_of(labels.tolist(), owners, min(_CALIBRATION_FOLDS, len(set(owners))))
        calibrated = CalibratedClassifierCV(svm, cv=folds, ensemble=False)
        return calibrated.fit(encodings[truth >= 0], labels).set_params(cv=None)

    def _network(self, rows: np.ndarray) -> TypingNetwork:
        """The network that learnt from these cells, from the folder if it is there."""
        file = self.folder / f"{self._key(rows)}.safetensors"
        if file.exists():
            network = TypingNetwork(self.options, len(self.classes.names))
            network.load_state_dict(load_file(file))
            return network.eval()
        if self.options.train == "head" and self.options.head == "svm":
            network = TypingNetwork(self.options, len(self.classes.names))  # nothing to train
            return network.eval()
        self.say(f"learning from {len(rows)} cells")
        network = trained_network(self.options, self.shown, self.classes, rows)
        tensors = {name: one.contiguous().clone() for name, one in network.state_dict().items()}
        write_atomically(file, save(tensors))
        return network

    def _key(self, rows: np.ndarray) -> str:
        cells = [self.cells.identities[row].hex() for row in rows]
        text = json.dumps({**self._facts, "cells": cells}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """Everything but the cells that a training depends on."""
        start = self.options.start
        options = asdict(self.options) | {"start": start and sha256_of_file(Path(start))}
        del options["precision"]  # which a training does not depend on
        labels = hashlib.sha256(self.classes.allowed.tobytes()).hexdigest()
        pixels = self.cells.sha256()
        return {
            "options": options,
            "classes": self.classes.names,
            "of": [labels, pixels],
            "made_by": [__version__, torch.__version__],
        }

    def _of(self, values: Sequence[str], rows: np.ndarray) -> list[str]:
        return [values[row] for row in rows]


def class_probabilities(
    classifier: CellClassifier, encodings: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """What the classifier says of cells, float64 (n, C), as scikit-learn computes it.

    Args:
        names: C classes in alphabetical order; those of which it saw no cell are never said.
    """
    found = np.zeros((len(encodings), len(names)))
    columns = np.searchsorted(names, classifier.classes_)
    found[:, columns] = classifier.predict_proba(encodings.astype(np.float64))
    return found


def regression_of(
    weights: np.ndarray, bias: np.ndarray, names: Sequence[str]
) -> LogisticRegression:
    """A linear layer as scikit-learn's regression.

    Args:
        weights, bias: of the logits, float64 (C, D) and (C,).
    """
    if len(names) == 2:  # it has the second class's logit alone
        weights, bias = weights[1:] - weights[:1], bias[1:] - bias[:1]
    found = LogisticRegression()
    found.classes_ = np.array(names)
    found.coef_, found.intercept_ = weights, bias
    found.n_features_in_ = weights.shape[1]
    found.n_iter_ = np.array([0])
    return found


def _cooled(classifier: LogisticRegression, temperature: float) -> LogisticRegression:
    """The same regression with its logits divided by the temperature."""
    classifier.coef_ = classifier.coef_ / temperature
    classifier.intercept_ = classifier.intercept_ / temperature
    return classifier
