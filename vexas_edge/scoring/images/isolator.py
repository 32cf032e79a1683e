"""The mask network of a model: from an analyzer's crop to the cell alone on black."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.contract import CROPS, MASK_CONTRACT, MASKS
from vexas_edge.bundle.graphs import ISOLATE
from vexas_edge.cells.isolation import isolate_cell, resize_for_isolation
from vexas_edge.cells.limits import IsolationLimits
from vexas_edge.engines.contract import Engine
from vexas_edge.engines.opening import calls_on_cpu, open_engine
from vexas_edge.errors import BundleError


@dataclass(frozen=True, kw_only=True)
class Isolator:
    """A mask network and the limits for what it finds. It may be called from any thread."""

    engine: Engine
    limits: IsolationLimits

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The cell of a crop, uint8 (H, W, 3), in its tight box on black, uint8 (h, w, 3).

        Raises:
            RejectedCellError: there is no plausible cell.
        """
        feeds = MASK_CONTRACT.feeds({CROPS: resize_for_isolation(pixels)[None]})
        return isolate_cell(self.engine.run(feeds)[MASKS][0], pixels, self.limits)


@contextmanager
def opened_isolator(graph: bytes, limits: IsolationLimits) -> Iterator[Isolator]:
    """An isolator from an ONNX graph that is not in a bundle yet; it is closed at the end.

    Raises:
        BundleError: the graph is not a mask network.
    """
    with open_engine(graph, calls_on_cpu(None)) as engine:
        if wanted := MASK_CONTRACT.missing_from(engine.shapes):
            raise BundleError(
                f"{ISOLATE} has {wanted.name} of shape {engine.shapes.get(wanted.name)}; "
                f"expected {wanted.shape}"
            )
        yield Isolator(engine=engine, limits=limits)
