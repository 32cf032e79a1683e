"""A stage is given only values whose whole content its key holds."""

from pathlib import Path

import pytest

from training.chain.inputs import GivenFile, bare, facts_of, labelled
from training.patients.classifier import SvmOptions
from vexas_edge.cells.limits import IsolationLimits
from vexas_edge.smear.cohort import CohortCase


def test_files_count_by_their_hash_and_options_by_all_their_fields() -> None:
    file = GivenFile(path=Path("anywhere"), sha256="12")
    assert facts_of({"a": [file, 1.5, None]}) == {"a": ["12", 1.5, None]}
    assert facts_of(SvmOptions())["draws"] == {"draws": 100, "size": 10, "seed": 0}
    assert facts_of(IsolationLimits()).keys() == set(IsolationLimits.__struct_fields__)


@pytest.mark.parametrize("value", [Path("weights"), {"a", "b"}, len])
def test_a_value_that_does_not_tell_its_content_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="which its key cannot hold"):
        facts_of({"a": [value]})


def test_rows_say_no_more_than_a_stage_may_know() -> None:
    row = CohortCase(
        patient="P", sample="S", path=Path("S"), label="MDS", split="fit", covariates={"age": "50"}
    )
    (known,) = labelled([row])
    assert (known.label, known.split, known.covariates) == ("MDS", "fit", {})
    (unknown,) = bare([row])
    assert (unknown.patient, unknown.label, unknown.split) == ("P", "", "")
