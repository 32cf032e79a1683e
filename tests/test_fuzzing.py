"""A few changed inputs of each reader end in a result or in an error of ours, and in nothing else.

`benchmarks/fuzzing.py` tries many more, in processes of their own.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from fuzzed_readers import Reader, readers
from fuzzing import changed

from vexas_edge.errors import VexasEdgeError
from vexas_edge.host.cache import FOLDER_VARIABLE

NAMES = (
    *("image", "zip", "bundle", "golden", "class map", "cohort", "cache", "skops"),
    *("familiar", "text table", "array table", "matrix"),
)
N_INPUTS = 120


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Reader]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, "")  # `readers` sets it, and it is put back
        return readers(tmp_path_factory.mktemp("readers"))


def test_every_reader_is_tried(every: Mapping[str, Reader]) -> None:
    assert tuple(every) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_no_changed_input_escapes(
    every: Mapping[str, Reader], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    outcomes = set()
    for number in range(N_INPUTS):
        data = changed(every[name], np.random.default_rng([2, number]))
        try:
            every[name].read(data, tmp_path)
            outcomes.add("read")
        except VexasEdgeError:
            outcomes.add("refused")
    assert outcomes == ({"read"} if name == "cache" else {"read", "refused"})


@pytest.mark.parametrize("name", NAMES)
def test_what_was_not_changed_is_read(
    every: Mapping[str, Reader], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    refused = 0
    for seed in every[name].seeds:
        try:
            every[name].read(seed, tmp_path)
        except VexasEdgeError:
            refused += 1
    assert refused == {"image": 2}.get(name, 0)  # CMYK and 16 bits
