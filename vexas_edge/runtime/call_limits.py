"""How many cells a call of the GPU has had memory for, kept for the next run on this PC."""

from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import TypeVar

import msgspec

from vexas_edge.errors import DeviceMemoryError, HostError
from vexas_edge.fields import Count
from vexas_edge.host.cache import Key, find_value, store

_KIND = "fitting"
T = TypeVar("T")


class CallLimits:
    """The most cells of each model in one call; a model that never ran out of memory has no limit.

    Threads may ask and halve at the same time.
    """

    def __init__(self, key: Key, way: str) -> None:
        """Begin with what was remembered.

        Args:
            key: the bundle and this PC as it is now.
            way: the engine and the precision, which have limits of their own.
        """
        self._key, self._way = key, way
        self._halving = Lock()
        self._now = _remembered(key)
        self._first = dict(self._now)

    def at_first(self, model: str, n_cells: int) -> int:
        """How many of `n_cells` cells fitted into a call when this was opened."""
        return min(n_cells, self._first.get(self._name(model), n_cells))

    def of(self, model: str, n_cells: int) -> int:
        """How many of `n_cells` cells go into a call now."""
        return min(n_cells, self._now.get(self._name(model), n_cells))

    def halve(self, model: str, failed: int) -> None:
        """From now on, and in the next run, give calls half the cells that one of them failed with.

        Where the cache cannot be written, the next run only begins with larger calls again.
        """
        with self._halving:
            self._now[self._name(model)] = self.of(model, -(-failed // 2))
            with suppress(HostError):
                store(_KIND, self._key, msgspec.json.encode(self._now))

    def within_memory(self, model: str, n_cells: int, call: Callable[[int], T]) -> T:
        """What `call` gives for as many of `n_cells` cells at once as there is memory for.

        Raises:
            DeviceMemoryError: there is none for a single cell.
        """
        while True:
            size = self.of(model, n_cells)
            try:
                return call(size)
            except DeviceMemoryError:
                if size == 1:
                    raise
                self.halve(model, size)

    def _name(self, model: str) -> str:
        return f"{self._way} {model}"


def forget_limits(key: Key) -> None:
    """Begin anew with calls of any size.

    Raises:
        HostError: the cache cannot be written.
    """
    if _remembered(key):
        store(_KIND, key, b"{}")


def _remembered(key: Key) -> dict[str, int]:
    found, _ = find_value(_KIND, key, same="bundle", type_=dict[str, Count])
    return found or {}
