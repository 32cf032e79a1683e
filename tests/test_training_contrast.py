"""The contrastive loss against the formula in NumPy, and what is watched beside it."""

import numpy as np
import pytest
import torch
from torch import Tensor

from training.pretraining.contrast import (
    contrastive_accuracy,
    contrastive_loss,
    correlation_accuracy,
    nearest_in,
    neighbour_accuracy,
    new_queue,
    pushed,
    sample_halves,
)
from vexas_edge.errors import UsageError

TEMPERATURE = 0.07


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.sqrt((rows**2).sum(1, keepdims=True))


def minus_log_share(anchors: np.ndarray, targets: np.ndarray, temperature: float) -> list[float]:
    """-log of exp(cos / t) of each anchor's own target over the sum for all targets."""
    losses = []
    for i, anchor in enumerate(anchors):
        weights = np.array([np.exp(anchor @ target / temperature) for target in targets])
        losses.append(-np.log(weights[i] / weights.sum()))
    return losses


def loss_by_formula(
    first: np.ndarray, second: np.ndarray, queue: np.ndarray, temperature: float
) -> float:
    first, second = unit(first), unit(second)
    if not len(queue):
        pairs = [(first, second), (second, first)]
    else:
        near_first, near_second = (
            np.array([queue[np.argmax([q @ z for q in queue])] for z in rows])
            for rows in (first, second)
        )
        pairs = [(near_first, second), (second, near_first)]
        pairs += [(near_second, first), (first, near_second)]
    return float(np.mean([minus_log_share(*pair, temperature) for pair in pairs]))


def projections(seed: int, n: int = 7, width: int = 5) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    first = torch.randn(n, width, generator=draw, dtype=torch.float64)
    return first, first + 0.7 * torch.randn(n, width, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("queue_size", [0, 1, 11])
@pytest.mark.parametrize("temperature", [TEMPERATURE, 0.5])
def test_the_loss_is_the_formula(queue_size: int, temperature: float) -> None:
    for seed in range(5):
        first, second = projections(seed)
        queue = new_queue(queue_size, 5, torch.Generator().manual_seed(seed)).double()
        found = contrastive_loss(first, second, queue, temperature)
        expected = loss_by_formula(first.numpy(), second.numpy(), queue.numpy(), temperature)
        assert found.item() == pytest.approx(expected, rel=1e-12)


def test_equal_views_far_from_all_others_cost_nothing_and_equal_cells_cost_log_n() -> None:
    apart = torch.eye(6, dtype=torch.float64)
    assert contrastive_loss(apart, 3 * apart, apart[:0], TEMPERATURE).item() < 1e-5
    alike = torch.ones(6, 4, dtype=torch.float64)
    assert contrastive_loss(alike, alike, alike[:0], TEMPERATURE).item() == pytest.approx(np.log(6))


def test_gradients_without_a_queue_are_those_of_finite_differences() -> None:
    first, second = (p.requires_grad_() for p in projections(0, n=4, width=3))
    empty = torch.empty(0, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda a, b: contrastive_loss(a, b, empty, 0.3), (first, second)
    )


def test_a_neighbours_gradient_goes_straight_through_to_the_projection() -> None:
    queue = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    seen = torch.tensor([[0.8, 0.6], [0.6, 0.8], [-0.6, 0.8]], requires_grad=True)
    near = nearest_in(queue, seen)
    torch.testing.assert_close(near, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    weights = torch.tensor([[2.0, 3.0], [5.0, 7.0], [11.0, 13.0]])
    (near * weights).sum().backward()
    torch.testing.assert_close(seen.grad, weights)
    assert queue.grad is None


def test_the_loss_with_a_queue_has_the_gradient_of_neighbours_put_in_their_place() -> None:
    first, second = projections(3)
    queue = new_queue(9, 5, torch.Generator().manual_seed(1)).double()
    leaves = [p.clone().requires_grad_() for p in (first, second)]
    contrastive_loss(leaves[0], leaves[1], queue, TEMPERATURE).backward()

    # By hand: the gradient at the neighbours, added to that at the projections themselves.
    units = [(p / p.norm(dim=1, keepdim=True)).detach().requires_grad_() for p in (first, second)]
    near = [queue[(u.detach() @ queue.T).argmax(1)].clone().requires_grad_() for u in units]
    own = torch.arange(len(first))
    terms = []
    for anchor, other in ((near[0], units[1]), (near[1], units[0])):
        square = anchor @ other.T / TEMPERATURE
        terms += [-square.log_softmax(dim)[own, own].mean() for dim in (0, 1)]
    (sum(terms) / 4).backward()
    for leaf, u, neighbour, p in zip(leaves, units, near, (first, second), strict=True):
        through = u.grad + neighbour.grad
        along = (through * u.detach()).sum(1, keepdim=True) * u.detach()
        expected = (through - along) / p.norm(dim=1, keepdim=True)
        torch.testing.assert_close(leaf.grad, expected)


def test_newest_projections_stand_in_front_and_the_oldest_fall_out() -> None:
    queue = torch.eye(4)[:3]
    newer = torch.tensor([[0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 5.0, 0.0]])
    after = pushed(queue, newer)
    torch.testing.assert_close(after, torch.eye(4)[[3, 2, 0]])
    torch.testing.assert_close(pushed(queue[:1], newer), torch.eye(4)[[3]])


def test_watched_shares_count_rows_and_columns() -> None:
    same = torch.eye(3)
    assert contrastive_accuracy(same, 4 * same) == 1
    swapped = same[[1, 0, 2]]
    assert contrastive_accuracy(same, swapped).item() == pytest.approx(1 / 3)
    rng = np.random.default_rng(0)
    free = torch.from_numpy(rng.normal(size=(50, 4)))
    assert correlation_accuracy(free, 2 * free + 1) == 1
    repeated = free[:, [0, 0, 0, 0]]
    assert correlation_accuracy(repeated, repeated).item() == pytest.approx(1 / 4)
    assert correlation_accuracy(free, free[:, [0, 1, 3, 2]]).item() == pytest.approx(1 / 2)


def test_the_probe_never_votes_with_cells_of_the_judged_sample() -> None:
    # Every sample sits at a place of its own; only labels that samples share can be told.
    rng = np.random.default_rng(0)
    places = {"a1": (0, 0), "a2": (0, 1), "b1": (9, 0), "b2": (9, 1)}
    samples = [name for name in places for _ in range(6)]
    points = np.array([places[s] for s in samples]) + rng.normal(0, 0.01, (24, 2))
    encodings = torch.from_numpy(points)
    labels = [s[0] for s in samples]
    halves = sample_halves(labels, samples)
    assert halves == [int(s[1] == "2") for s in samples]
    assert neighbour_accuracy(encodings, labels, halves) == 1
    mixed = ["ab"[i % 2] for i in range(24)]
    assert neighbour_accuracy(encodings, mixed, halves) < 0.8
    alternating = ["xy"[s[1] == "2"] for s in samples[:12]]
    with pytest.raises(UsageError, match="'x' has only one sample"):
        sample_halves(alternating, samples[:12])
    with pytest.raises(UsageError, match="have only 4 cells; at least 5 are needed"):
        sample_halves(["a"] * 10, ["a1"] * 6 + ["a2"] * 4)
