"""What a model's training patients looked like: the limits that a case is held against.

It is one file, `reference.npz`, of plain arrays. Of single patients it holds clean scores, in
ascending order, and the least and the largest value of each statistic; nothing says whose they are.
"""

from dataclasses import dataclass, fields
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vexas_edge.domain.measures import ENCODING_MEASURES, HARM_PLACES
from vexas_edge.domain.trees import Forest
from vexas_edge.domain.words import LEAST_PATIENTS
from vexas_edge.errors import BundleError
from vexas_edge.inputs import arrays_from_npz
from vexas_edge.quality.statistics import CASE_STATISTICS

REFERENCE_SCHEMA = 2

# What is held against a limit, in this order: how far the score would move, how far the case's mean
# encoding lies, how far a tenth of its cells lie at least, how alike its cells are to the encoder,
# how alike in their statistics, and how far its statistics lie outside the training ranges.
GATES = ("harm", "foreign case", "foreign cells", "duplicates", "same statistics", "ranges")

_HARM, _FAMILIES = "harm_", "families_"
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The training patients of one model, S statistics, D numbers an encoding, G gates, K sizes.

    n_patients: how many there were.
    centre, spread: of each statistic over the cases, float64 (S,); spreads are over 0.
    low, high: the training range of each statistic, float64 (S,).
    harm: trees that answer log(|shift of the score| + 0.02); none under 40 patients.
    families: trees that answer how probable each family of changes is; none, either, where changes
    of fewer than two families moved a score.
    family_names: those families.
    mean: of the cases' mean encodings, float64 (D,).
    axes: directions in which cells of one case vary by 1 and independently, float64 (D, P).
    between: the variance of cases along each, float64 (P,).
    sizes: of bags, in cells, that limits were found at, ascending, float64 (K,).
    gate_centre, gate_scale: each gate's clean value and how far its own limit lies above it,
    float64 (G, K).
    limit: how far above its clean value, in that unit, a gate may lie, float64 (K,).
    clean_scores: of training patients by models that had not seen them, ascending, float64 (n,).
    """

    n_patients: int
    centre: _Floats
    spread: _Floats
    low: _Floats
    high: _Floats
    harm: Forest | None
    families: Forest | None
    family_names: tuple[str, ...]
    mean: _Floats
    axes: _Floats
    between: _Floats
    sizes: _Floats
    gate_centre: _Floats
    gate_scale: _Floats
    limit: _Floats
    clean_scores: _Floats

    @property
    def has_gate(self) -> bool:
        """Whether there were patients enough for harm and foreign cells to be judged."""
        return self.harm is not None


def bytes_from_reference(reference: Reference) -> bytes:
    """The reference as the bytes of `reference.npz`; the same reference, the same bytes."""
    arrays: dict[str, Any] = {
        "schema": np.array(REFERENCE_SCHEMA),
        "statistics": np.array(CASE_STATISTICS),
    }
    for field in fields(reference):
        value = getattr(reference, field.name)
        if isinstance(value, Forest):
            arrays |= {f"{field.name}_{f.name}": getattr(value, f.name) for f in fields(value)}
        elif value is not None:
            arrays[field.name] = np.array(value)
    file = BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def reference_from_bytes(data: bytes) -> Reference:
    """The reference that `bytes_from_reference` wrote, checked in all its parts.

    Raises:
        BundleError: it is damaged, of another schema, or its statistics are not those of today.
    """
    try:
        arrays = arrays_from_npz(data)
    except ValueError as error:
        raise BundleError(f"reference.npz cannot be read: {error}") from error
    schema = arrays.pop("schema", np.array(-1))
    if schema.shape != () or schema != REFERENCE_SCHEMA:
        raise BundleError(
            f"reference.npz has schema {schema}; expected {REFERENCE_SCHEMA}: make it anew with "
            "`vexas-workshop train reference`"
        )
    names = arrays.pop("statistics", np.array(()))
    if tuple(names.ravel().tolist()) != CASE_STATISTICS:
        raise BundleError(
            "reference.npz was made with other statistics; make it anew with "
            "`vexas-workshop train reference`"
        )
    return _checked(arrays)


def _checked(arrays: dict[str, NDArray[Any]]) -> Reference:
    n_measures = len(ENCODING_MEASURES)
    harm = _forest(arrays, _HARM, len(HARM_PLACES) + n_measures)
    families = _forest(arrays, _FAMILIES, len(CASE_STATISTICS) + n_measures)
    n_patients = arrays.pop("n_patients", np.array(-1))
    family_names = arrays.pop("family_names", np.array(()))
    if n_patients.shape != () or n_patients.dtype.kind != "i" or n_patients < 1:
        raise BundleError(f"reference.npz: n_patients is {n_patients}, expected a number over 0")
    reference = Reference(
        n_patients=int(n_patients),
        harm=harm,
        families=families,
        family_names=tuple(str(name) for name in family_names.ravel()),
        **_float_arrays(arrays),
    )
    if (harm is None) != (n_patients < LEAST_PATIENTS) or (families and not harm):
        raise BundleError(
            f"reference.npz: {n_patients} patients and {'no' if harm is None else 'a'} domain "
            f"gate; one is made from {LEAST_PATIENTS} patients on"
        )
    if families is not None and families.value.shape[1] != len(reference.family_names):
        raise BundleError("reference.npz: its trees and its families differ in number")
    if harm is not None and harm.value.shape[1] != 1:
        raise BundleError("reference.npz: its trees answer more than how far a score would move")
    return reference


def _float_arrays(arrays: dict[str, NDArray[Any]]) -> dict[str, _Floats]:
    """The float64 arrays, of shapes that agree, finite, spreads over 0, sizes ascending.

    Raises:
        BundleError: something of it is not so, or a name is missing or unknown.
    """
    statistics, gates = len(CASE_STATISTICS), len(GATES)
    d, p = arrays["axes"].shape if arrays.get("axes", np.array(0)).ndim == 2 else (-1, -1)
    k = arrays["sizes"].size if "sizes" in arrays else -1
    shapes: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(("centre", "spread", "low", "high"), (statistics,)),
        **{"mean": (d,), "axes": (d, p), "between": (p,), "sizes": (k,), "limit": (k,)},
        **dict.fromkeys(("gate_centre", "gate_scale"), (gates, k)),
    }
    n_scores = arrays["clean_scores"].size if "clean_scores" in arrays else -1
    shapes["clean_scores"] = (n_scores,)
    if arrays.keys() != shapes.keys():
        differing = ", ".join(sorted(arrays.keys() ^ shapes.keys()))
        raise BundleError(f"reference.npz: missing or unknown: {differing}")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.dtype != np.float64 or array.shape != shape or not np.isfinite(array).all():
            raise BundleError(
                f"reference.npz: {name} is {array.dtype} {array.shape}; expected float64 {shape}, "
                "finite"
            )
    for name in ("spread", "gate_scale", "limit", "sizes"):
        if not (arrays[name] > 0).all():
            raise BundleError(f"reference.npz: {name} must be over 0")
    if k < 1 or (np.diff(arrays["sizes"]) <= 0).any() or (arrays["between"] < 0).any():
        raise BundleError("reference.npz: sizes must ascend, and variances cannot be under 0")
    return arrays


def _forest(arrays: dict[str, NDArray[Any]], prefix: str, n_features: int) -> Forest | None:
    parts = {f.name: arrays.pop(prefix + f.name, None) for f in fields(Forest)}
    if all(part is None for part in parts.values()):
        return None
    if any(part is None for part in parts.values()):
        raise BundleError(f"reference.npz: a part of {prefix.rstrip('_')} is missing")
    forest = Forest(**parts)  # type: ignore[arg-type]
    forest.check(n_features, f"reference.npz, {prefix.rstrip('_')}")
    return forest
