"""References for tiny bundles, whose trees find what a test wants them to find."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tiny import WIDTH, rewritten

from training.reference.fit import CleanCase, fit_reference
from vexas_edge.bundle.graphs import REFERENCE
from vexas_edge.domain.reference import Reference, bytes_from_reference
from vexas_edge.domain.trees import Forest
from vexas_edge.quality.statistics import CELL_STATISTICS

FAMILIES = ("focus", "foreign cells", "stain")


def leaf(*values: float) -> Forest:
    """A tree that always answers the same."""
    nothing = np.array([-1])
    return Forest(
        roots=np.zeros(1, np.int32),
        feature=nothing.astype(np.int16),
        threshold=np.zeros(1),
        left=nothing.astype(np.int32),
        right=nothing.astype(np.int32),
        value=np.array([values], np.float32),
    )


@cache
def small_reference(n_patients: int = 12) -> Reference:
    """A reference without trees that lets everything pass."""
    rng = np.random.default_rng(0)
    cases = [
        CleanCase(
            patient=str(number),
            encodings=rng.normal(0.3, 0.1, (16, WIDTH)).astype(np.float32),
            statistics=rng.normal(100, 50, (16, len(CELL_STATISTICS))),
            score=0.5,
        )
        for number in range(n_patients)
    ]
    fitted = fit_reference(cases, []).reference
    return replace(fitted, limit=np.full_like(fitted.limit, 1e6))


def gate(family: str | None) -> bytes:
    """A reference whose trees find that everything has changed in this way, or nothing at all."""
    shares = [0.9 if name == family else 0.05 for name in FAMILIES]
    reference = replace(
        small_reference(),
        n_patients=48,
        harm=leaf(0.0 if family is None else 1e9),
        families=leaf(*shares),
        family_names=FAMILIES,
    )
    return bytes_from_reference(reference)


def gated(bundle: Path, to: Path, references: dict[str, bytes], **fields: Any) -> Path:
    """The bundle with these references, by model."""
    files = {f"models/{name}/{REFERENCE}": data for name, data in references.items()}
    return rewritten(bundle, to, files, **fields)
