"""A site's centre decides whether a model abstains, and never what an abstention is called."""

from dataclasses import replace

import numpy as np
import pytest
from site_slides import foreign_reference
from tiny_gate import leaf

from vexas_edge.domain.gate import WORDS, judge
from vexas_edge.domain.reference import Reference
from vexas_edge.scoring.abstention import CellCounts
from vexas_edge.scoring.encoded import Encoded, Examined
from vexas_edge.scoring.images.examining import judged_cells, with_slide_faults

FOREIGN = {"foreign case", "foreign cells"}
N_CELLS = 12


def near_training(harm: float, *families: float) -> Reference:
    """A reference whose training cases lie around 0.3, with trees that always answer this."""
    reference = foreign_reference(harm)
    return replace(reference, mean=reference.mean - 100, families=leaf(*families))


def a_case(seed: int, reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    """The statistics and encodings of a made-up case."""
    rng = np.random.default_rng(seed)
    encodings = rng.normal(0.3, 0.1, (N_CELLS, len(reference.mean))).astype(np.float32)
    return rng.normal(100, 50, len(reference.centre)), encodings


@pytest.mark.parametrize("focus", [0.05, 0.45, 0.55, 0.7])
@pytest.mark.parametrize("harm", [0.0, 50.0])
@pytest.mark.parametrize("moved", [0.0, 100.0])
def test_what_abstains_with_any_centre_is_called_the_same(
    harm: float, focus: float, moved: float
) -> None:
    reference = near_training(harm, focus, 0.05, 0.05)
    reference = replace(reference, mean=reference.mean + moved)
    rng = np.random.default_rng(0)
    for seed in range(10):
        statistics, encodings = a_case(seed, reference)
        plain = judge(reference, statistics, encodings)
        for centre in (np.full(len(reference.mean), 0.3), rng.normal(0, 99, len(reference.mean))):
            here = judge(reference, statistics, encodings, centre)
            others = plain.finding.gates.keys() - FOREIGN
            assert {name: here.finding.gates[name] for name in others} == {
                name: plain.finding.gates[name] for name in others
            }
            if plain.abstains and here.abstains:
                assert (here.finding.family, here.words) == (plain.finding.family, plain.words)


def test_what_is_foreign_to_the_site_alone_is_called_that_and_is_no_fault_of_the_slide() -> None:
    reference = near_training(0.0, 0.9, 0.05, 0.05)
    statistics, encodings = a_case(0, reference)
    assert not judge(reference, statistics, encodings).abstains
    here = judge(reference, statistics, encodings, reference.mean + 100)
    assert here.abstains
    assert (here.finding.family, here.words) == ("foreign cells", WORDS["foreign cells"])


def test_a_harmed_slide_near_the_training_cases_holds_the_other_model_at_a_far_site() -> None:
    """Measured from the site, it is foreign as well, and was then not called out of focus."""
    reference = near_training(50.0, 0.55, 0.05, 0.05)
    statistics, encodings = a_case(0, reference)
    harmed, other = (
        Examined(
            name=name,
            encoded=Encoded(
                records=(),
                identities=[bytes([place]) for place in range(N_CELLS)],
                encodings=encodings,
                checked=None,
            ),
            counts=CellCounts(used=N_CELLS),
            reasons=(),
            statistics=statistics if name == "neutrophil" else None,
        )
        for name in ("neutrophil", "monocyte")
    )
    for centre in (None, reference.mean, reference.mean + 100):
        first, second = with_slide_faults([judged_cells(harmed, reference, centre), other])
        assert [reason.code for reason in first.reasons] == ["focus"]
        assert [reason.code for reason in first.of_slide] == ["focus"]
        assert [reason.code for reason in second.reasons] == ["slide_focus"]
