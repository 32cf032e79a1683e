"""A bundle's self-test: made-up cells whose outputs were recorded when the bundle was written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.contract import (
    CELLS,
    DECISIONS,
    DRAWS,
    ENCODINGS,
    MEMBERS,
    PROBABILITIES,
    GraphContract,
)
from vexas_edge.bundle.graphs import FUSED, GOLDEN, HEAD, ISOLATE
from vexas_edge.engines.contract import Engine
from vexas_edge.errors import BundleError, HostError
from vexas_edge.inputs import arrays_from_npz

# For each graph file, the largest allowed difference of any output from the reference engine's.
ALLOWED = {HEAD: 1e-5, FUSED: 1e-3, ISOLATE: 0.02}
# For cheaper graphs, how far a cell's encoding may lie from the recorded one: half the squared
# distance, which is 1 minus the cosine.
# Sums of integers are exact, so only values halfway between two integers may round differently.
ALLOWED_CHEAPER = 1e-3

# How far the mean probabilities of a whole graph and of the head may lie apart.
CROSS_CHECK = 1e-3

# What every self-test has; graphs have more inputs and outputs, as their contracts say.
GOLDEN_ARRAYS = (
    CELLS,
    *(f"{FUSED}/{output}" for output in (ENCODINGS, PROBABILITIES, DECISIONS)),
    *(f"{HEAD}/{output}" for output in (PROBABILITIES, DECISIONS)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """The outcome of one graph's self-test on this PC: the difference, and how much is allowed."""

    model: str
    file: str
    difference: float
    allowed: float


def golden_from_npz(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of golden.npz: the graphs' inputs, and `<graph file>/<output>` for each graph.

    Raises:
        BundleError: the file cannot be read, lacks an array, or would have to be unpickled.
    """
    try:
        golden = arrays_from_npz(content)
    except ValueError as error:
        raise BundleError(f"the bundle's {GOLDEN} cannot be read: {error}") from error
    missing = [name for name in GOLDEN_ARRAYS if name not in golden]
    if missing:
        raise BundleError(f"the bundle's {GOLDEN} lacks {', '.join(missing)}")
    return golden


def check_shapes(model: str, file: str, engine: Engine, contract: GraphContract) -> None:
    """Check that a graph takes and returns what the manifest says.

    Raises:
        BundleError: it does not.
    """
    if wanted := contract.missing_from(engine.shapes):
        raise BundleError(
            f"{file} of model {model!r} has {wanted.name} of shape "
            f"{engine.shapes.get(wanted.name)}, but the manifest says {wanted.shape}; the bundle "
            "contradicts itself, so export it again"
        )


def check_engine(
    model: str,
    file: str,
    engine: Engine,
    contract: GraphContract,
    golden: Mapping[str, NDArray[Any]],
    n_cells: int = 0,
) -> Check:
    """Run a graph on the self-test's cells and compare its outputs with the recorded ones.

    Args:
        n_cells: how many go into the call at least; if there are fewer, they do over and over.

    Raises:
        HostError: they differ by more than is allowed.
    """
    if n_cells > len(golden[CELLS]):
        golden = _repeated(golden, n_cells)
    outputs = engine.run(golden_feeds(contract, golden))
    if file in ALLOWED:
        allowed, difference = ALLOWED[file], _largest_difference(outputs, golden, file)
    else:
        allowed, difference = ALLOWED_CHEAPER, _encodings_distance(outputs, golden, file)
    if not difference <= allowed:
        raise HostError(
            f"self-test of {model} {file} failed on this PC: {difference:.1e} from the reference "
            f"(allowed {allowed:.0e}); do not use {engine.name} on {engine.device} here"
        )
    return Check(model=model, file=file, difference=difference, allowed=allowed)


def _repeated(golden: Mapping[str, NDArray[Any]], n_cells: int) -> dict[str, NDArray[Any]]:
    """The same self-test with its cells, and what was recorded for each, over and over.

    An engine that computes calls of another size by other kernels is tested with what it will run.
    """
    of_cells = (CELLS, *(name for name in golden if name.endswith(f"/{ENCODINGS}")))
    more = {name: np.resize(golden[name], (n_cells, *golden[name].shape[1:])) for name in of_cells}
    return {**golden, **more}


def check_head(
    model: str, head: Engine, contract: GraphContract, golden: Mapping[str, NDArray[Any]]
) -> None:
    """Check that the head gives what the whole reference graph gave for the self-test's cells.

    It takes the place of the check in each case for an engine that gives encodings alone.

    Args:
        contract: the head's.

    Raises:
        HostError: the means over draws differ.
    """
    outputs = head.run(golden_feeds(contract, golden))
    found, expected = (
        values.mean(axis=0, dtype=np.float64)
        for values in (outputs[PROBABILITIES], golden[f"{FUSED}/{PROBABILITIES}"])
    )
    if not (difference := _difference(found, expected)) <= CROSS_CHECK:
        raise HostError(
            f"self-test of {model} {HEAD} failed: its score differs from the whole graph's by "
            f"{difference:.1e} (allowed {CROSS_CHECK:.0e}); export the bundle again"
        )


def golden_feeds(
    contract: GraphContract, golden: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """A graph's inputs in the self-test: the made-up cells, or the reference's encodings of them.

    Raises:
        BundleError: the self-test has no value for an input of this graph, or one that cannot be.
    """
    known = {**golden, ENCODINGS: golden[f"{FUSED}/{ENCODINGS}"]}
    try:
        feeds = contract.feeds(known)
    except KeyError as missing:
        raise BundleError(
            f"the bundle's {GOLDEN} lacks {missing.args[0]}; export the bundle again"
        ) from missing
    for tensor in contract.inputs:
        found = feeds[tensor.name]
        if (found.dtype.name, found.shape[1:]) != (tensor.dtype, tensor.row_shape):
            raise BundleError(
                f"the bundle's {GOLDEN} has {tensor.name} of {found.dtype} {found.shape}; expected "
                f"{tensor.dtype} (N, {', '.join(map(str, tensor.row_shape))}): export it again"
            )
    _check_places(feeds)
    return feeds


def _check_places(feeds: Mapping[str, NDArray[Any]]) -> None:
    """Check that draws and members are of cells that there are."""
    n_cells = next((len(feeds[name]) for name in (CELLS, ENCODINGS) if name in feeds), 0)
    for name in (DRAWS, MEMBERS):
        places = feeds.get(name, np.zeros(0))
        if places.size and not 0 <= places.min() <= places.max() < n_cells:
            raise BundleError(
                f"the bundle's {GOLDEN} has {name} of cells {places.min()} to {places.max()} of "
                f"{n_cells}; export the bundle again"
            )


def _recorded(golden: Mapping[str, NDArray[Any]], file: str, output: str) -> NDArray[Any]:
    """What was recorded of one output of a graph. Raises BundleError where nothing was."""
    name = f"{file}/{output}"
    if name not in golden:
        raise BundleError(f"the bundle's {GOLDEN} lacks {name}; export the bundle again")
    return golden[name]


def _largest_difference(
    outputs: Mapping[str, NDArray[Any]], golden: Mapping[str, NDArray[Any]], file: str
) -> float:
    # np.max and not max, which may pass over a NaN.
    return float(
        np.max([_difference(v, _recorded(golden, file, name)) for name, v in outputs.items()])
    )


def _difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found.astype(np.float64) - expected).max())


def _encodings_distance(
    outputs: Mapping[str, NDArray[Any]], golden: Mapping[str, NDArray[Any]], file: str
) -> float:
    """Half the largest squared distance of a cell's encoding from the recorded one, by its length.

    For encodings of length 1 this is 1 minus their cosine.
    """
    found = outputs[ENCODINGS].astype(np.float64)
    expected = _recorded(golden, file, ENCODINGS).astype(np.float64)
    if found.shape != expected.shape:
        return float("inf")
    squares = np.maximum((expected**2).sum(axis=1), np.finfo(np.float64).tiny)
    return float(np.max(((found - expected) ** 2).sum(axis=1) / squares / 2))
