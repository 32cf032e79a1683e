"""libsvm's pairwise coupling: from the probabilities of class pairs to those of classes.

SVC.predict_proba is this iteration (Wu, Lin and Weng 2004, JMLR 5:975, second method, as libsvm's
`multiclass_probability` stops it), even for two classes: the closed form differs by up to 3.4e-3.
It jumps at its stopping threshold, so draws whose residual lies there are counted, not compared.
"""

from itertools import combinations

import numpy as np

from export.graph import GraphBuilder

# libsvm clips pairwise probabilities to [this, 1 - this].
SMALLEST_PROBABILITY = 1e-7

# A residual this near to the stopping threshold may fall on either side of it in float32 features.
THRESHOLD_MARGIN = 1e-5


def class_pairs(n_classes: int) -> list[tuple[int, int]]:
    """The pairs (i, j), i < j, in the order of libsvm's decision values."""
    return list(combinations(range(n_classes), 2))


def stopping_threshold(n_classes: int) -> float:
    """The residual under which libsvm's iteration stops."""
    return 0.005 / n_classes


def unrolled_iterations(n_classes: int) -> int:
    """How often the iteration is unrolled; export refuses a classifier that needs more.

    Of two classes the pairwise probability is one number, and none needs more than two. Four were
    enough for 3 to 10 classes on real draws.
    """
    return 2 if n_classes == 2 else 8


def add_coupling(graph: GraphBuilder, pairwise: str, n_classes: int, dtype: type) -> str:
    """Name of the class probabilities (A, C), the iteration unrolled with a freeze mask.

    Args:
        pairwise: (A, P) of `dtype`, P(class i | i or j) for each pair, clipped.
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
    """Q (A, C, C): sums of squares on the diagonal, minus products beside it."""
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
    """One pass of coordinate descent over the classes; gives the moved probabilities."""
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
    """The same iteration in NumPy, run until it stops: what a graph's unrolling is judged by.

    Args:
        pairwise: float64 (A, P), clipped, P(class i | i or j).

    Returns:
        probabilities float64 (A, C); iterations used int64 (A,); and bool (A,), whether some
        residual lay within `THRESHOLD_MARGIN` of the stopping threshold.
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
