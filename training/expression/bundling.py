"""From what cells taught to the parts of a bundle."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.bags.aggregation import AggregationOptions
from export.bags.bag_file import BagFacts, BagOfVectors, Regression, bag_file
from export.bags.network import BagLayers
from training.expression.cells import ExpressionCells
from training.expression.learning import LearntExpression
from training.judging.folds import Fold
from training.typing.familiarity import familiar_from_shape, fitted_shape
from vexas_edge.bundle.models import Vectors
from vexas_edge.cells.limits import FeatureKind
from vexas_edge.files import write_atomically
from vexas_edge.typing.familiar import Familiar, bytes_from_familiar, distances

_BAG, _FAMILIAR, _PARITY, _SPEC = (
    *("expression.safetensors", "familiar.npz", "parity.npz", "spec.toml"),
)
OTHERS = "others"
_PARITY_CELLS = 24
_MIDDLE = 0.5


@dataclass(frozen=True, kw_only=True)
class BundleOptions:
    """What a bundle says beside what was learnt.

    positive: the class whose probability is the score.
    names: what the names of features are.
    counts: whether numbers are counts as they were counted.
    missing_share: of the features, so many may be missing in a table that is scored.
    minimum_cells: how many cells a table needs.
    synthetic: whether the cells were drawn.
    """

    positive: str
    names: FeatureKind
    counts: bool
    missing_share: float = 0.2
    minimum_cells: int = 10
    synthetic: bool = False


def for_positive(cells: ExpressionCells, positive: str) -> ExpressionCells:
    """The cells with the one label and, where there are several others, these as one."""
    others = [label for label in cells.classes if label != positive]
    apart = OTHERS if positive != OTHERS else f"not {OTHERS}"
    name = others[0] if len(others) == 1 else apart
    return replace(cells, labels=np.where(cells.labels == positive, positive, name))


def familiar_of(
    cells: ExpressionCells,
    learnt: LearntExpression,
    learn: Callable[[ExpressionCells], LearntExpression],
    folds: Sequence[Fold],
) -> Familiar | None:
    """What the cells look like that a model was fitted on; None if few patients tell.

    How far a table's cells may lie from them is found on patients that models of the folds had not
    seen.
    """
    held_out = np.zeros(len(cells))
    for fit, judged in folds:
        taught, own = learn(cells.of_rows(fit)), cells.of_rows(fit)
        shape = _shape(taught, own)
        held_out[judged] = distances(taught.encodings(cells.rows[judged]), *shape)
    return familiar_from_shape(_shape(learnt, cells), held_out, cells.patients.tolist())


def _shape(
    learnt: LearntExpression, cells: ExpressionCells
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    truth = np.searchsorted(learnt.classes, cells.labels)
    return fitted_shape(learnt.encodings(cells.rows), truth)


def bag_of_cells(learnt: LearntExpression, options: BundleOptions) -> bytes:
    """The file of what was learnt of two classes, as `export.bags.bag_file` has it."""
    positive = learnt.classes.index(options.positive)
    sign = 1.0 if positive else -1.0
    aggregation = learnt.aggregation
    weighting = aggregation.options if aggregation else AggregationOptions()
    layers = BagLayers(learnt.weight.shape[1], weighting, 0).eval()
    with torch.no_grad():
        weight = torch.from_numpy(sign * (learnt.weight[1] - learnt.weight[0]))
        layers.classify.weight.copy_(weight[None])
        layers.classify.bias.fill_(sign * float(learnt.bias[1] - learnt.bias[0]))
    if aggregation is not None:
        layers.aggregation.load_state_dict(aggregation.state_dict())
    scaling = learnt.scaling
    vectors = Vectors(
        n_features=len(learnt.features),
        names=options.names,
        counts=options.counts,
        library_size=scaling.library_size,
        log1p=scaling.log1p,
        clip=scaling.clip,
        missing_share=options.missing_share,
    )
    facts = BagFacts(
        positive=options.positive,
        others=learnt.classes[1 - positive],
        instances=BagOfVectors(
            vectors=vectors, features=learnt.features, sizes=learnt.encoder.sizes
        ),
        encoding="raw",
        aggregation=weighting,
        middle=0.0,
        spread=1.0,
        image=Regression(weights=(1.0,), bias=0.0, threshold=_MIDDLE),
    )
    return bag_file(facts, learnt.encoder.state_dict(), layers.state_dict(), scaling)


def write_parts(
    learnt: LearntExpression,
    familiar: Familiar | None,
    cells: ExpressionCells,
    options: BundleOptions,
    name: str,
    folder: Path,
) -> None:
    """Write what `vexas-workshop export bundle` takes, with a spec that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _BAG, bag_of_cells(learnt, options))
    if familiar is not None:
        write_atomically(folder / _FAMILIAR, bytes_from_familiar(familiar))
    step = max(1, len(cells) // _PARITY_CELLS)
    some = np.arange(0, len(cells), step)[:_PARITY_CELLS]
    np.savez_compressed(
        folder / _PARITY,
        counts=cells.dense(some),
        genes=np.array(cells.features),
        cells=np.array([f"parity{number}" for number in range(len(some))]),
    )
    known = f'familiar = "{_FAMILIAR}"\n' if familiar is not None else ""
    data = f"{len(cells)} cells of {len(set(cells.patients.tolist()))} patients"
    spec = f"""\
name = {_quoted(name)}
version = "0.1.0"
positive = {_quoted(options.positive)}
training_data = "{data}"
synthetic = {_quoted(options.synthetic)}

[models.expression]
bag = "{_BAG}"
{known}parity_cells = "{_PARITY}"
minimum_cells = {options.minimum_cells}
"""
    write_atomically(folder / _SPEC, spec.encode())


def _quoted(value: str | bool) -> str:
    """A value as TOML has it, which is as JSON has it but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
