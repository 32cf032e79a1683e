"""What models that name cells say."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vexas_edge.results.typing import Strangeness
from vexas_edge.results.values import UsedCell

NONE_KNOWN: Mapping[str, NDArray[np.float32]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class SaidOfCells:
    """What a model that names cells says of some.

    records: of all of them.
    probabilities: of each class, float64 (C,), by the identity of each cell that could be put on
    the model's canvas.
    encodings: of the same cells, float32 (D,).
    strangeness: of the smear, as `CellTyping` has it.
    """

    records: tuple[UsedCell, ...]
    probabilities: Mapping[str, NDArray[np.float64]]
    encodings: Mapping[str, NDArray[np.float32]]
    strangeness: Strangeness | None = None
