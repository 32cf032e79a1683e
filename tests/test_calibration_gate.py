"""A cheaper graph must abstain where float32 does."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny import rewritten, write_cohort
from tiny_gate import gate, gated

from calibration.conversion import Console, Conversion, add_precisions
from calibration.gate.figures import failures, gate_result
from calibration.gate.judgement import REFERENCE, Judged, JudgedSmear, Judgement
from vexas_edge import open_bundle
from vexas_edge.bundle.budgets import Budget, Budgets
from vexas_edge.smear.cohort import read_cohort

FAR = Budget(cosine_p1=-1, auc_drop=1, flipped_share=0.05, flip_margin=1, score_drift=1)


def judged(margin: float | None) -> Judged:
    return Judged(
        encodings=np.ones((2, 3), np.float32),
        decisions=np.zeros((1, 1)),
        score=0.4,
        margin=margin,
        largest_activation=None,
    )


def missed(margins: Sequence[tuple[float | None, float | None]]) -> list[str]:
    """What the gate finds wrong, for smears with these margins by float32 and by int8."""
    smears = tuple(
        JudgedSmear(
            sample=f"S{number}",
            patient=f"P{number}",
            positive=number % 2 == 0,
            by_kind={REFERENCE: judged(ours), "int8": judged(theirs)},
        )
        for number, (ours, theirs) in enumerate(margins)
    )
    judgement = Judgement(model="m", smears=smears, abstained=(), unreadable=())
    return failures(gate_result(judgement, "int8", 0.5), FAR)


def test_the_same_abstentions_pass_however_margins_differ() -> None:
    assert missed([(-1.0, -0.2)] * 20 + [(0.3, 2.0)] * 20) == []
    assert missed([(None, None)] * 40) == []


def test_one_smear_in_twenty_may_differ_if_it_lies_at_the_limit() -> None:
    assert missed([(-0.05, 0.02), (0.01, -0.3)] + [(-1.0, -1.0)] * 38) == []


def test_more_smears_or_smears_far_from_the_limit_may_not_differ() -> None:
    (many,) = missed([(-0.05, 0.02)] * 3 + [(-1.0, -1.0)] * 37)
    assert many.startswith(
        "3 of 40 smears are answered or not, unlike with float32 (at most 2): S0 -0.050 to 0.020, "
    )
    (far,) = missed([(0.4, -0.2)] + [(-1.0, -1.0)] * 39)
    assert far == (
        "smears are answered or not, unlike with float32, far from the limit 0 (at most 0.1 from "
        "it): S0 0.400 to -0.200"
    )


@pytest.mark.parametrize("family", [None, "stain"])
def test_a_conversion_holds_both_graphs_against_the_bundles_own_reference(
    tiny_bundle: Path, tmp_path: Path, family: str | None
) -> None:
    lenient = Budgets(fp16=FAR)
    bundle = rewritten(tiny_bundle, tmp_path / "plain.vxb", budgets=lenient)
    references = dict.fromkeys(("neutrophil", "monocyte", "lymphocyte"), gate(family))
    bundle = gated(bundle, tmp_path / "gated.vxb", references)
    cohort = write_cohort(tmp_path / "cohort", n_patients=14)
    asked = Conversion(cohort=read_cohort(cohort), kinds=("fp16",))
    console = Console(progress=lambda *_: None, show=lambda _: None, warn=lambda _: None)
    manifest = add_precisions(open_bundle(bundle), asked, bundle, console)
    files = manifest.models["monocyte"].files
    assert len(files["fused.fp16.onnx"].measured["gate"]["gate_flips"]) == 0
    assert "reference.npz" in files
