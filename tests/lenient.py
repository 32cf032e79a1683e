"""Budgets for models that learnt in seconds, which no gate would let pass in another precision."""


def lenient_budgets(cosine_p1: float) -> str:
    """The tables of a spec that let every graph pass whose encodings are at least this close."""
    return "\n".join(
        f"""
[budgets.{kind}]
cosine_p1 = {cosine_p1}
score_drift = 1.0
auc_drop = 1.0
flipped_share = 1.0
flip_margin = 1.0
patients_per_class = 1
calibration_distance = 1e9
"""
        for kind in ("int8", "int8-rr", "int8-trt", "fp16")
    )
