"""One slide of a site, whose cells were encoded and counted, and which nothing has judged."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.background import Background
from vexas_edge.scoring.encoded import Examined

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class SeenImages:
    """What the images of a case are, of at most 16 cells a model.

    formats: how many there are of each; sizes: of each width and height in px.
    slide: the bare slide of the case. clipped_share: of all their pixels.
    red_cells_px: the diameters of whole red cells in them.
    """

    formats: Counter[str]
    sizes: Counter[Size]
    slide: Background
    clipped_share: float
    red_cells_px: tuple[float, ...]

    @property
    def format(self) -> str:
        """The commonest one."""
        return self.formats.most_common(1)[0][0]


@dataclass(frozen=True, kw_only=True)
class SeenCase:
    """One slide, whose cells were encoded and counted.

    label: what is known of it; None where nothing is.
    counted: each model's cells, which no domain gate has judged.
    images: None where no cell could be read.
    signatures: of the distinct cells, int16 (8, 8, 3), as `even_signature_of` gives them.
    """

    name: str
    label: str | None
    counted: tuple[Examined, ...]
    images: SeenImages | None
    signatures: tuple[NDArray[np.int16], ...]

    def of(self, model: str) -> Examined:
        """What is seen of the model's cells."""
        (found,) = (one for one in self.counted if one.name == model)
        return found

    def mean_of(self, model: str) -> NDArray[np.float64] | None:
        """The mean of the model's encodings, float64 (D,); None if the gate cannot judge them."""
        found = self.of(model)
        if found.statistics is None or found.encoded is None:
            return None
        encodings = found.encoded.encodings[found.encoded.by_identity]
        mean: NDArray[np.float64] = encodings.mean(axis=0, dtype=np.float64)
        return mean
