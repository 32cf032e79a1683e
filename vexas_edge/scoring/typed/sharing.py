"""Encodings that were computed to name cells, and that another model would compute again.

Two models share an encoder if the hash of their graphs' parts up to the encodings is the same and a
cell is put on the same canvas for both; then the same engine gives the same encodings, bit for bit.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.models import Network
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.smears import TypedSmear
from vexas_edge.scoring.typed.said import NONE_KNOWN


def known_encodings(
    typed: TypedSmear, name: str, sessions: Sessions
) -> Mapping[str, NDArray[np.float32]]:
    """The encodings of cells, float32 (D,), that a model is known to give, by identity."""
    typers = sessions.typers
    if typers is None or sessions.options != typers.options:
        return NONE_KNOWN
    return shared_encodings(typed.encodings, sessions, name, typers)


def shared_encodings(
    given: Mapping[str, Mapping[str, NDArray[np.float32]]],
    sessions: Sessions,
    name: str,
    typers: Sessions,
) -> Mapping[str, NDArray[np.float32]]:
    """The encodings that a model would give, too, among those that models which name cells gave.

    Args:
        given: by the models that gave them.
        sessions, name: of the model; the engines are those of `typers`, or opened alike.
    """
    model = sessions.bundle.manifest.networks[name]
    own = model.files[sessions.graph.file].encoder
    for other, encodings in given.items():
        naming = typers.bundle.manifest.typing[other]
        same = own is not None and own == naming.files[typers.graph.file].encoder
        if same and _placing(model) == _placing(naming):
            return encodings
    return NONE_KNOWN


def _placing(model: Network) -> tuple[object, ...]:
    """All that decides how a cell is put on a model's canvas; none is the same if cells differ.

    What is cut out or normalised depends on more than the cell itself.
    """
    images = model.images
    apart = object() if images.isolation or images.background else None
    return (images.canvas_px, images.larger, apart)
