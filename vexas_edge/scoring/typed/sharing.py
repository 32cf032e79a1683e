"""Encodings that were computed to name cells, and that another model would compute again.

Two models share an encoder if the hash of their graphs' parts up to the encodings is the same and a
cell is put on the same canvas for both; then the same engine gives the same encodings, bit for bit.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.models import FileEntry, Network
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.smears import TypedSmear
from vexas_edge.scoring.typed.said import NONE_KNOWN


def known_encodings(
    typed: TypedSmear, name: str, sessions: Sessions
) -> Mapping[str, NDArray[np.float32]]:
    """The encodings of cells, float32 (D,), that a model is known to give, by identity."""
    model, typers = sessions.bundle.manifest.models[name], sessions.typers
    if typers is None:
        return NONE_KNOWN
    if sessions.options != typers.options:
        return NONE_KNOWN
    own = model.files[sessions.graph.file]
    for other, encodings in typed.encodings.items():
        naming = typers.bundle.manifest.typing[other]
        if _encode_alike(model, own, naming, naming.files[typers.graph.file]):
            return encodings
    return NONE_KNOWN


def known_of_typer(
    given: Mapping[str, Mapping[str, NDArray[np.float32]]], name: str, typers: Sessions
) -> Mapping[str, NDArray[np.float32]]:
    """The same for a model that names cells, from what others before it gave."""
    models, file = typers.bundle.manifest.typing, typers.graph.file
    for other, encodings in given.items():
        one, before = models[name], models[other]
        if _encode_alike(one, one.files[file], before, before.files[file]):
            return encodings
    return NONE_KNOWN


def _encode_alike(one: Network, own: FileEntry, other: Network, theirs: FileEntry) -> bool:
    """Whether two models give the same encodings, by the graphs that run of each."""
    same = own.encoder is not None and own.encoder == theirs.encoder
    return same and _placing(one) == _placing(other)


def _placing(model: Network) -> tuple[object, ...]:
    """All that decides how a cell is put on a model's canvas; none is the same if cells differ.

    What is cut out or normalised depends on more than the cell itself.
    """
    apart = object() if model.isolation or model.background else None
    return (model.canvas_px, model.larger, apart)
