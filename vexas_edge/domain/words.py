"""Which models of a bundle have no domain gate, in words that a result and a card begin with."""

from collections.abc import Mapping

from vexas_edge.domain.reference import LEAST_PATIENTS, Reference


def missing_gate_words(references: Mapping[str, Reference | None]) -> str:
    """Which models have no domain gate, and why; empty if all have one.

    Args:
        references: of each model, by its name; None for a model without.

    >>> missing_gate_words({"neutrophil": None})
    'no domain gate (the bundle has no reference)'
    """
    reasons = {name: _reason(reference) for name, reference in references.items()}
    missing = {name: reason for name, reason in reasons.items() if reason}
    if not missing:
        return ""
    if len(set(reasons.values())) == 1:
        return f"no domain gate ({reasons.popitem()[1]})"
    each = ", ".join(f"{name} ({reason})" for name, reason in missing.items())
    return f"no domain gate for {each}"


def _reason(reference: Reference | None) -> str:
    if reference is None:
        return "the bundle has no reference"
    if not reference.has_gate:
        return f"{reference.n_patients} patients; {LEAST_PATIENTS} needed"
    return ""
