"""What the network of bags learns from some patients, for `training.judging`.

The number of epochs is chosen on inner folds of the patients to fit on, by the loss out of fold; the
network is then trained on all of them for as long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.bags.bags import Bags
from training.bags.inputs import CellInputs
from training.bags.trainer import BagOptions, BagTraining, loss_of
from training.judging.folds import fold_indices
from training.judging.nested import Learnt
from training.judging.stacking import AskedCovariate, columns_of, described

_INNER_FOLDS = 4
# Told of what is done: a line for each finished training.
Noted = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class BagLearning:
    """Learning of the network from rows of patients.

    asked: covariates that the network's head takes, where the options join them there.
    """

    bags: Bags
    positive: str
    options: BagOptions
    inputs: CellInputs
    asked: Sequence[AskedCovariate] = ()
    noted: Noted = lambda _: None

    @property
    def truth(self) -> np.ndarray:
        """Whether each patient is in the positive group, bool (P,)."""
        return np.array([group == self.positive for group in self.bags.groups])

    def __call__(self, fit: np.ndarray) -> Learnt:
        by_epoch = np.empty((self.options.epochs, len(fit)))
        for inner_fit, inner_judge in fold_indices(self.truth[fit], _INNER_FOLDS):
            training = self._begun(fit[inner_fit])
            for epoch in range(self.options.epochs):
                training.epoch(fit[inner_fit])
                by_epoch[epoch, inner_judge] = training.logits(fit[inner_judge])
        truth, balanced = self.truth[fit], self.options.balanced
        losses = [loss_of(logits, truth, balanced=balanced) for logits in by_epoch]
        best = int(np.argmin(losses))
        self.noted(
            f"{best + 1} of {self.options.epochs} epochs, loss out of fold {losses[best]:.3f}"
        )
        training = self.trained(fit, best + 1)
        return Learnt(out_of_fold=by_epoch[best], score=training.logits)

    def trained(self, fit: np.ndarray, epochs: int) -> BagTraining:
        """The network after so many epochs on these patients."""
        training = self._begun(fit)
        for _ in range(epochs):
            training.epoch(fit)
        return training

    def _begun(self, fit: np.ndarray) -> BagTraining:
        training = BagTraining(self.options, self.inputs, self.bags, self.truth)
        training.begin(fit, self._columns(fit))
        return training

    def _columns(self, fit: np.ndarray) -> np.ndarray | None:
        if self.options.joined != "head" or not self.asked:
            return None
        values = self.bags.covariates
        found = [described(one, [values[i][one.name] for i in fit]) for one in self.asked]
        return columns_of(found, values, self.bags.patients)
