"""One training case, measured: its cells' encodings and statistics, clean and changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vexas_edge.errors import InputError
from vexas_edge.files import write_atomically
from vexas_edge.inputs import arrays_from_npz

IDENTITY_BYTES = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class ChangedBag:
    """The first n cells of a case after one change of their images, n at most 16.

    kept: which of them the model can still use, bool (n,).
    encodings: of those, float32 (n', D).
    statistics: of the case, as those cells show it, float64 (F,).
    """

    kept: NDArray[np.bool_]
    encodings: NDArray[np.float32]
    statistics: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredCase:
    """One case of one model; its cells are in the order of their identities.

    identities: of the N cells that the model can use.
    encodings: float32 (N, D), as scoring computes them.
    statistics: of the raw images of the first n, at most 16, float64 (n, S).
    changed: by each change of the images; None where fewer than two cells are left.
    """

    identities: tuple[bytes, ...]
    encodings: NDArray[np.float32]
    statistics: NDArray[np.float64]
    changed: tuple[ChangedBag | None, ...]


def write_measured(case: MeasuredCase, to: Path) -> None:
    """Write the case to a file of plain arrays, which is complete or absent."""
    bags = [bag for bag in case.changed if bag is not None]
    n_cells = len(case.statistics)
    present = np.array([bag is not None for bag in case.changed], bool)
    arrays: dict[str, Any] = {
        "identities": np.frombuffer(b"".join(case.identities), np.uint8),
        "encodings": case.encodings,
        "statistics": case.statistics,
        "present": present,
        "kept": _stacked([bag.kept for bag in bags], (n_cells,), bool),
        "changed_encodings": np.concatenate(
            [case.encodings[:0], *(bag.encodings for bag in bags)], axis=0
        ),
        "changed_statistics": _stacked([bag.statistics for bag in bags], (0,), np.float64),
    }
    file = BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    write_atomically(to, file.getvalue())


def _stacked(rows: Sequence[NDArray[Any]], shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    return np.stack(rows) if rows else np.empty((0, *shape), dtype)


def read_measured(path: Path) -> MeasuredCase:
    """The case that `write_measured` wrote.

    Raises:
        InputError: the file is damaged.
    """
    try:
        arrays = arrays_from_npz(path.read_bytes())
        identities = arrays["identities"].tobytes()
        return MeasuredCase(
            identities=tuple(
                identities[start : start + IDENTITY_BYTES]
                for start in range(0, len(identities), IDENTITY_BYTES)
            ),
            encodings=arrays["encodings"],
            statistics=arrays["statistics"],
            changed=_changed_bags(arrays),
        )
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); remove it, and the case is measured anew"
        ) from error


def _changed_bags(arrays: dict[str, NDArray[Any]]) -> tuple[ChangedBag | None, ...]:
    kept = arrays["kept"]
    ends = np.cumsum(kept.sum(axis=1))
    encodings = np.split(arrays["changed_encodings"], ends[:-1]) if len(kept) else []
    bags = (
        ChangedBag(kept=of_bag, encodings=cells, statistics=statistics)
        for of_bag, cells, statistics in zip(
            kept, encodings, arrays["changed_statistics"], strict=True
        )
    )
    found = list(bags)
    places = np.cumsum(arrays["present"]) - 1
    return tuple(
        found[place] if there else None
        for place, there in zip(places, arrays["present"], strict=True)
    )
