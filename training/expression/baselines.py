"""What a model of cells' genes must beat: regressions, one gene, and the largest class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args
from warnings import catch_warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from export.vectors.scaling import FeatureScaling
from training.expression.cells import ExpressionCells
from training.expression.options import ExpressionOptions
from training.expression.scaled import ExpressionRows, dense_rows, scaling_for
from vexas_edge.errors import InputError

BaselineName = Literal["logistic", "anova", "pca", "one_gene", "one_class"]

ANOVA_FEATURES = (100, 300, 1000)
_INNER_FOLDS, _PCA_COMPONENTS, _MOST_STEPS = 3, 50, 2000
_ROWS_PER_CALL = 4096


class ExpressionModel(Protocol):
    """What tells the classes of cells by their genes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The C classes, in alphabetical order."""

    def logits(self, rows: ExpressionRows) -> NDArray[np.float64]:
        """The logit of each class of each cell, float64 (N, C), from float32 (N, G)."""

    def case_logits(
        self, logits: NDArray[np.float64], samples: NDArray[np.str_]
    ) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """The samples by name, and the logit of each class of each, float64 (S, C)."""


# From the cells to fit on to what they teach.
LearnExpression = Callable[[ExpressionCells], ExpressionModel]


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """A regression, as some cells taught it.

    scaling: of cells' numbers, fitted on these cells alone.
    regression: of scaled numbers, or of some of them.
    kept: the features that it looks at; empty where it looks at all, or at sums of them.
    """

    scaling: FeatureScaling
    regression: Pipeline
    classes: tuple[str, ...]
    kept: tuple[str, ...] = ()

    def logits(self, rows: ExpressionRows) -> NDArray[np.float64]:
        """As `ExpressionModel` has it."""
        parts = [
            self.regression.decision_function(
                self.scaling(dense_rows(rows, slice(first, first + _ROWS_PER_CALL)))
            )
            for first in range(0, rows.shape[0], _ROWS_PER_CALL)
        ]
        found = np.concatenate(parts).astype(np.float64)
        return np.stack([0 * found, found], axis=1) if found.ndim == 1 else found

    def case_logits(
        self, logits: NDArray[np.float64], samples: NDArray[np.str_]
    ) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """As `ExpressionModel` has it: the mean over each sample's cells."""
        return mean_logits(logits, samples)


@dataclass(frozen=True, kw_only=True)
class OneClass:
    """Calls every cell the same.

    shares: of the classes among the cells to fit on.
    """

    classes: tuple[str, ...]
    shares: tuple[float, ...]

    def logits(self, rows: ExpressionRows) -> NDArray[np.float64]:
        """As `ExpressionModel` has it."""
        return np.tile(np.log(self.shares), (rows.shape[0], 1))

    def case_logits(
        self, logits: NDArray[np.float64], samples: NDArray[np.str_]
    ) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """As `ExpressionModel` has it."""
        return mean_logits(logits, samples)


def mean_logits(
    logits: NDArray[np.float64], samples: NDArray[np.str_]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The samples by name, and the means float64 (S, C) over their cells, float64 (N, C)."""
    names = np.unique(samples)
    means = np.stack([logits[samples == name].mean(axis=0) for name in names])
    return tuple(names.tolist()), means


def baseline_learners(options: ExpressionOptions) -> dict[str, LearnExpression]:
    """All that a model is judged beside, by name; cells are scaled as the options say."""

    def learner(name: BaselineName) -> LearnExpression:
        return lambda cells: fitted_baseline(name, cells, options)

    return {name: learner(name) for name in get_args(BaselineName)}


def fitted_baseline(
    name: BaselineName, cells: ExpressionCells, options: ExpressionOptions
) -> Baseline | OneClass:
    """One of them, fitted on these cells.

    Raises:
        InputError: all cells are of one class.
    """
    classes = cells.classes
    if len(classes) < 2:
        raise InputError(f"all cells are of the class {classes}; at least two are needed")
    if name == "one_class":
        counts = [int((cells.labels == one).sum()) for one in classes]
        return OneClass(classes=classes, shares=tuple(n / len(cells) for n in counts))
    scaling = scaling_for(cells.rows, options)
    scaled = scaling(cells.dense())
    # Of features that never vary, and of classes with fewer cells than there are inner folds.
    with np.errstate(divide="ignore", invalid="ignore"), catch_warnings(action="ignore"):
        regression = _regression(name, scaled, cells.labels, options.seed)
        regression.fit(scaled, cells.labels)
    kept: tuple[str, ...] = ()
    if name in ("anova", "one_gene"):
        kept = tuple(cells.features[i] for i in regression[0].get_support(indices=True))
    return Baseline(scaling=scaling, regression=regression, classes=classes, kept=kept)


def fitted_gene(gene: str, cells: ExpressionCells, options: ExpressionOptions) -> Baseline:
    """A regression on one gene, fitted on these cells.

    Raises:
        InputError: the cells have no such gene.
    """
    if gene not in cells.features:
        raise InputError(f"the cells have no gene {gene!r}")
    place = cells.features.index(gene)
    scaling = scaling_for(cells.rows, options)
    regression = make_pipeline(FunctionTransformer(lambda rows: rows[:, [place]]), _logistic())
    regression.fit(scaling(cells.dense()), cells.labels)
    return Baseline(scaling=scaling, regression=regression, classes=cells.classes, kept=(gene,))


def _regression(
    name: BaselineName, scaled: NDArray[np.float32], labels: NDArray[np.str_], seed: int
) -> Pipeline:
    n, n_features = scaled.shape
    if name == "anova":
        return _best_of_anova(scaled, labels, seed)
    if name == "one_gene":
        return make_pipeline(SelectKBest(f_classif, k=1), _logistic())
    if name == "pca":
        components = min(_PCA_COMPONENTS, n - 1, n_features)
        return make_pipeline(PCA(components, random_state=seed), _logistic())
    return make_pipeline(_logistic())


def _best_of_anova(scaled: NDArray[np.float32], labels: NDArray[np.str_], seed: int) -> Pipeline:
    """The number of features is chosen by balanced accuracy on inner folds of the same cells."""

    def of(k: int) -> Pipeline:
        return make_pipeline(SelectKBest(f_classif, k=min(k, scaled.shape[1])), _logistic())

    n_folds = min(_INNER_FOLDS, int(np.unique(labels, return_counts=True)[1].min()))
    if n_folds < 2:
        return of(ANOVA_FEATURES[1])
    folds = list(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(labels, labels))

    def found(k: int) -> float:
        called = np.empty_like(labels)
        for fit, judge in folds:
            called[judge] = of(k).fit(scaled[fit], labels[fit]).predict(scaled[judge])
        return float(balanced_accuracy_score(labels, called))

    return of(max(ANOVA_FEATURES, key=found))


def _logistic() -> Any:
    return LogisticRegression(max_iter=_MOST_STEPS)
