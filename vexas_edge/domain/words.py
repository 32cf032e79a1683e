"""Which models of a bundle have no domain gate, in words that a result and a card begin with."""

from collections.abc import Mapping

# With fewer training patients no quantile of 3 % exists, and a case is only held against ranges.
LEAST_PATIENTS = 40


def missing_gate_words(patients: Mapping[str, int | None]) -> str:
    """Which models have no domain gate, and why; empty if all have one.

    Args:
        patients: how many each model's reference was made from; None for a model without.

    >>> missing_gate_words({"neutrophil": 12})
    'no domain gate (12 patients; 40 needed)'
    """
    reasons = {name: _reason(number) for name, number in patients.items()}
    missing = {name: reason for name, reason in reasons.items() if reason}
    if not missing:
        return ""
    if len(set(reasons.values())) == 1:
        return f"no domain gate ({reasons.popitem()[1]})"
    each = ", ".join(f"{name} ({reason})" for name, reason in missing.items())
    return f"no domain gate for {each}"


def _reason(patients: int | None) -> str:
    if patients is None:
        return "the bundle has no reference"
    return f"{patients} patients; {LEAST_PATIENTS} needed" if patients < LEAST_PATIENTS else ""
