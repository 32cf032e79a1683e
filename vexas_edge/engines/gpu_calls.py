"""Calls of an engine on a GPU: few at once, of few sizes, each from page-locked memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import BoundedSemaphore
from typing import Any, Self

from numpy import ndarray

from vexas_edge.engines.contract import Engine, RowGroup
from vexas_edge.engines.page_locked import PageLocked

# While one call computes, the other one's cells are copied. A third gains nothing on an H100.
CALLS_AT_ONCE = 2


def filled_rows(n_rows: int, block: int) -> int:
    """How many rows a call of `n_rows` is filled up to: whole blocks, or a halved block.

    For each new size cuDNN looks for algorithms anew, which takes longer than the added rows.
    """
    if n_rows >= block:
        return -(-n_rows // block) * block
    size = block
    while size > 1 and -(-size // 2) >= n_rows:
        size = -(-size // 2)
    return size


class GpuCalls:
    """An engine on a GPU whose calls any number of threads may make.

    Every input is copied into page-locked memory. The inputs of the first group of rows with a
    block are filled up with rows of zeros, whose results are dropped.
    """

    def __init__(self, engine: Engine, rows: Sequence[RowGroup], runtime: Any) -> None:
        """Take no memory yet. runtime: CUDA's library, or None; see `page_locked`."""
        self.name, self.version = engine.name, engine.version
        self.device, self.threads = engine.device, engine.threads
        self.shapes, self.most_rows = engine.shapes, engine.most_rows
        self._engine = engine
        self._blocked = next((group for group in rows if group.block), None)
        self._computing = BoundedSemaphore(CALLS_AT_ONCE)
        self._free: SimpleQueue[_Inputs] = SimpleQueue()
        for _ in range(CALLS_AT_ONCE + 1):  # one more is being filled meanwhile
            self._free.put(_Inputs(runtime))

    def run(self, feeds: Mapping[str, ndarray]) -> dict[str, ndarray]:
        """All outputs by name.

        Raises:
            DeviceMemoryError: the GPU has no memory for so many rows.
            HostError: the GPU failed.
        """
        n_rows = next((len(rows) for name, rows in feeds.items() if self._is_blocked(name)), 0)
        with self._inputs() as inputs:
            copies = {name: inputs.copy(name, v, self._size(name, v)) for name, v in feeds.items()}
            with self._computing:
                outputs = self._engine.run(copies)
        return {name: v[:n_rows] if self._is_blocked(name) else v for name, v in outputs.items()}

    def _is_blocked(self, name: str) -> bool:
        return self._blocked is not None and name in self._blocked.tensors

    def _size(self, name: str, values: ndarray) -> int:
        """How many rows of an input the engine is given."""
        if self._blocked is None or not self._blocked.block or not self._is_blocked(name):
            return len(values)
        return filled_rows(len(values), self._blocked.block)

    @contextmanager
    def _inputs(self) -> "Iterator[_Inputs]":
        inputs = self._free.get()
        try:
            yield inputs
        finally:
            self._free.put(inputs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for _ in range(CALLS_AT_ONCE + 1):  # this waits for calls under way
            self._free.get().close()
        self._engine.__exit__(*raised)


class _Inputs:
    """The memory of one call's inputs, by their names."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._memories: dict[str, PageLocked] = {}

    def copy(self, name: str, values: ndarray, n_rows: int) -> ndarray:
        """The values in this memory, with rows of zeros up to `n_rows`."""
        memory = self._memories.setdefault(name, PageLocked(self._runtime))
        copied = memory.array((n_rows, *values.shape[1:]), values.dtype)
        copied[: len(values)] = values
        copied[len(values) :] = 0
        return copied

    def close(self) -> None:
        for memory in self._memories.values():
            memory.close()
