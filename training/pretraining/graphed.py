"""Repeats a training step on a GPU as one CUDA graph, as launching its kernels takes the most time.

A graph repeats the same kernels on the same memory. So whatever differs from batch to batch must be
in tensors: what a step is given is copied into the graph's own tensors, the learning rate is a
tensor on the GPU, and all else that a step changes is changed in place.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

# From tensors that differ from batch to batch, of which the first has a row a cell, to one tensor.
Step = Callable[..., Tensor]
# From a step, and what it is given, to a graph of it. Nothing is computed yet.
Capture = Callable[[Step, tuple[Tensor, ...]], Step]

# Before a graph is captured, steps must have loaded every library and made the optimizer's state.
_FIRST_STEPS = 3


class UsualSteps:
    """Runs steps: those of batches of the usual size by a graph as soon as there is one.

    Once a graph could not be captured, every step is run as it is.
    """

    def __init__(self, step: Step, usual: int, capture: Capture | None) -> None:
        """Start without a graph.

        Args:
            usual: how many cells a batch has, unless too few are left for it.
            capture: None where there are no graphs.
        """
        self._step, self._usual, self._capture = step, usual, capture
        self._first = _FIRST_STEPS
        self._graph: Step | None = None

    def __call__(self, *given: Tensor) -> Tensor:
        """What the step returns; the next call may change it."""
        if self._capture is None or len(given[0]) != self._usual:
            return self._step(*given)
        if self._first:
            self._first -= 1
            return self._step(*given)
        if self._graph is None:
            try:
                self._graph = self._capture(self._step, given)
            except RuntimeError as error:
                self._capture = None
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                warnings.warn(f"training goes on without a CUDA graph: {reason}", stacklevel=2)
                return self._step(*given)
        return self._graph(*given)


def capture_for(pixels: Tensor, optimizer: torch.optim.Optimizer) -> Capture | None:
    """What makes graphs of steps with these cells; None if not all that they need is on a GPU.

    Args:
        pixels: of the cells.
        optimizer: that each step calls, with its learning rate in a tensor.
    """
    if not pixels.is_cuda:
        return None
    return lambda step, given: _captured(step, given, optimizer)


def _captured(step: Step, given: tuple[Tensor, ...], optimizer: torch.optim.Optimizer) -> Step:
    """A graph of the step.

    Raises:
        RuntimeError: there is too little memory, or the step does what a graph cannot repeat.
    """
    _check_room(given[0].device)
    own = tuple(tensor.clone() for tensor in given)
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    _set_capturable(optimizer, True)
    try:
        with torch.cuda.graph(graph):
            found = step(*own)
    finally:
        _set_capturable(optimizer, False)
        torch.cuda.set_stream(stream)  # a capture that fails leaves its own

    def replay(*given: Tensor) -> Tensor:
        for kept, new in zip(own, given, strict=True):
            kept.copy_(new)
        graph.replay()
        return found

    return replay


def _check_room(device: torch.device) -> None:
    """A graph keeps its memory, and batches of other sizes need theirs beside it."""
    needed = 2 * torch.cuda.max_memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    if needed > free:
        raise RuntimeError(
            f"it may take {needed >> 20} MiB of the GPU's memory; {free >> 20} MiB are left"
        )


def _set_capturable(optimizer: torch.optim.Optimizer, capturable: bool) -> None:
    # Only meanwhile, as torch warns about steps without a graph otherwise. A fused optimizer, whose
    # state is on the GPU, does the same either way.
    for group in optimizer.param_groups:
        group["capturable"] = capturable
