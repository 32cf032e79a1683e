"""libsvm's pairwise coupling: from the probabilities of class pairs to those of classes.

SVC.predict_proba runs this iteration (Wu, Lin and Weng 2004, JMLR 5:975, second method) until the
stopping threshold of libsvm's `multiclass_probability`, even for two classes, where the closed form
differs by up to 3.4e-3. The result jumps at that threshold, so draws whose residual is close to it
are counted, not compared.
"""

from itertools import combinations

import numpy as np

from export.graph import GraphBuilder

# libsvm clips pairwise probabilities to this at the least and to 1 minus this at the most.
SMALLEST_PROBABILITY = 1e-7

# With float32 features, a residual this close to the stopping threshold may fall on either side.
THRESHOLD_MARGIN = 1e-5


def class_pairs(n_classes: int) -> list[tuple[int, int]]:
    """The pairs (i, j), i < j, in the order of libsvm's decision values.

    >>> class_pairs(3)
    [(0, 1), (0, 2), (1, 2)]
    """
    return list(combinations(range(n_classes), 2))


def stopping_threshold(n_classes: int) -> float:
    """The residual below which libsvm's iteration stops."""
    return 0.005 / n_classes


def unrolled_iterations(n_classes: int) -> int:
    """How often a graph repeats the iteration; export refuses a classifier that needs more.

    For two classes, whose pairwise probability is one number, two iterations are always enough.
    For 3 to 10 classes, four were enough on real draws.
    """
    return 2 if n_classes == 2 else 8


def add_coupling(graph: GraphBuilder, pairwise: str, n_classes: int, dtype: type) -> str:
    """Name of the class probabilities (A, C), by the iteration unrolled.

    A draw whose iteration has stopped keeps its probabilities.

    Args:
        pairwise: (A, P) of `dtype`, P(class i | i or j) per pair, clipped.
        dtype: numpy.float64 in the head, numpy.float32 in the fused graph.
    """
    matrix = _coupling_matrix(graph, pairwise, n_classes, dtype)
    threshold = graph.constant(stopping_threshold(n_classes), dtype)
    rows = [
        graph.node("Gather", matrix, graph.constant(t, np.int64), axis=1) for t in range(n_classes)
    ]
    uniform = graph.constant(np.full((1, n_classes), 1 / n_classes), dtype)
    nothing = graph.node("Sub", rows[0], rows[0])
    probabilities = graph.node("Add", nothing, uniform)
    for _ in range(unrolled_iterations(n_classes)):
        wide = graph.node("Unsqueeze", probabilities, graph.columns(1))
        gradient = graph.node(
            "ReduceSum", graph.node("Mul", matrix, wide), graph.columns(2), keepdims=0
        )
        energy = graph.node(
            "ReduceSum", graph.node("Mul", probabilities, gradient), graph.columns(1), keepdims=1
        )
        distance = graph.node("Abs", graph.node("Sub", gradient, energy))
        residual = graph.node("ReduceMax", distance, graph.columns(1), keepdims=1)
        moved = _add_sweep(graph, rows, probabilities, gradient, energy, dtype)
        running = graph.node("GreaterOrEqual", residual, threshold)
        probabilities = graph.node("Where", running, moved, probabilities)
    return probabilities


def _coupling_matrix(graph: GraphBuilder, pairwise: str, n_classes: int, dtype: type) -> str:
    """Name of the matrix Q (A, C, C): sums of squares on the diagonal, negative products off it."""
    pairs = class_pairs(n_classes)
    reverse = graph.node("Sub", graph.constant(1, dtype), pairwise)
    both = graph.node("Concat", pairwise, reverse, axis=1)
    source = np.zeros((n_classes, n_classes), np.int64)
    for index, (i, j) in enumerate(pairs):
        source[i, j], source[j, i] = index, index + len(pairs)
    beside = graph.constant(1 - np.eye(n_classes), dtype)
    square = graph.columns(-1, n_classes, n_classes)

    def matrix_from(positions: np.ndarray) -> str:
        gathered = graph.node("Gather", both, graph.columns(*positions.ravel()), axis=1)
        return graph.node("Mul", graph.node("Reshape", gathered, square), beside)

    wins, losses = matrix_from(source), matrix_from(source.T)
    squares = graph.node(
        "ReduceSum", graph.node("Mul", losses, losses), graph.columns(2), keepdims=1
    )
    diagonal = graph.node("Mul", squares, graph.constant(np.eye(n_classes), dtype))
    return graph.node("Sub", diagonal, graph.node("Mul", wins, losses))


def _add_sweep(
    graph: GraphBuilder,
    rows: list[str],
    probabilities: str,
    gradient: str,
    energy: str,
    dtype: type,
) -> str:
    """One pass of coordinate descent over the classes; returns the new probabilities' name."""
    one = graph.constant(1, dtype)
    for target, row in enumerate(rows):
        column = graph.columns(target)
        own = graph.node("Gather", row, column, axis=1)
        slope = graph.node("Gather", gradient, column, axis=1)
        step = graph.node("Div", graph.node("Sub", energy, slope), own)
        scale = graph.node("Add", one, step)
        rise = graph.node("Add", graph.node("Mul", step, own), graph.node("Add", slope, slope))
        energy = graph.node("Add", energy, graph.node("Mul", step, rise))
        energy = graph.node("Div", graph.node("Div", energy, scale), scale)
        gradient = graph.node("Add", gradient, graph.node("Mul", step, row))
        gradient = graph.node("Div", gradient, scale)
        basis = graph.constant(np.eye(len(rows))[target], dtype)
        probabilities = graph.node("Add", probabilities, graph.node("Mul", step, basis))
        probabilities = graph.node("Div", probabilities, scale)
    return probabilities


def couple(pairwise: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same iteration in NumPy, run until it stops, to judge a graph's unrolling by.

    Args:
        pairwise: float64 (A, P), clipped, P(class i | i or j).

    Returns:
        probabilities float64 (A, C); iterations used, int64 (A,); and whether some residual was
        within `THRESHOLD_MARGIN` of the stopping threshold, bool (A,).
    """
    matrix = _numpy_coupling_matrix(pairwise, n_classes)
    probabilities = np.full((len(pairwise), n_classes), 1 / n_classes)
    iterations = np.zeros(len(pairwise), np.int64)
    at_threshold = np.zeros(len(pairwise), bool)
    for _ in range(100):
        gradient = np.einsum("aij,aj->ai", matrix, probabilities)
        energy = np.sum(probabilities * gradient, axis=1)
        residual = np.max(np.abs(gradient - energy[:, None]), axis=1)
        at_threshold |= np.abs(residual - stopping_threshold(n_classes)) <= THRESHOLD_MARGIN
        running = residual >= stopping_threshold(n_classes)
        if not running.any():
            break
        iterations += running
        moved = _numpy_sweep(matrix, probabilities.copy(), gradient, energy)
        probabilities = np.where(running[:, None], moved, probabilities)
    return probabilities, iterations, at_threshold


def _numpy_coupling_matrix(pairwise: np.ndarray, n_classes: int) -> np.ndarray:
    wins = np.zeros((len(pairwise), n_classes, n_classes))
    for index, (i, j) in enumerate(class_pairs(n_classes)):
        wins[:, i, j], wins[:, j, i] = pairwise[:, index], 1 - pairwise[:, index]
    losses = wins.transpose(0, 2, 1)
    diagonal = (losses**2).sum(axis=2)[:, :, None] * np.eye(n_classes)
    return diagonal - wins * losses


def _numpy_sweep(
    matrix: np.ndarray, probabilities: np.ndarray, gradient: np.ndarray, energy: np.ndarray
) -> np.ndarray:
    for target in range(matrix.shape[1]):
        own, slope = matrix[:, target, target], gradient[:, target]
        step = (energy - slope) / own
        energy = (energy + step * (step * own + 2 * slope)) / (1 + step) ** 2
        gradient = (gradient + step[:, None] * matrix[:, target]) / (1 + step)[:, None]
        probabilities[:, target] += step
        probabilities /= (1 + step)[:, None]
    return probabilities
