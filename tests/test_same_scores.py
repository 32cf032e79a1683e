"""The comparison of two trees sees a change of one bit, and nothing where nothing changed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from compared_cases import Plan, four_class_plan
from same_scores import (
    Made,
    array_difference,
    bundle_comparisons,
    comparisons,
    run_tree,
    value_difference,
)
from tiny import rewritten
from tree_probe import RESULTS, Scored, exact, strangers

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Made]:
    """What this tree makes of the drawn cells in one call, with two heads of four classes."""
    scratch = tmp_path_factory.mktemp("same")
    plan = four_class_plan(scratch)
    plan = replace(plan, scorings=tuple(s for s in plan.scorings if s.chunk_cells is None))
    return plan, run_tree(ROOT, plan, scratch / "now")


def copied(made: Made, to: Path) -> Made:
    shutil.copytree(made.out, to)
    return replace(made, out=to)


def differing(plan: Plan, before: Made, now: Made) -> list[str]:
    return [str(c) for c in comparisons(plan, before, now) if c.difference]


def test_a_tree_is_the_same_as_itself(made: tuple[Plan, Made]) -> None:
    plan, now = made
    lines = [str(comparison) for comparison in comparisons(plan, now, now)]
    assert all(line.startswith("same ") for line in lines)
    for name in plan.specs:
        assert f"same     {name}, fp32, drawn cells, cells per call: as chosen, " in "\n".join(
            lines
        )
    assert any(line.endswith("encodings of neutrophil, 30 x 8") for line in lines)
    assert {scored.case["status"] for scored in now.scored()} == {"scored"}


def test_one_bit_of_an_encoding_is_named(made: tuple[Plan, Made], tmp_path: Path) -> None:
    plan, now = made
    other = copied(now, tmp_path / "other")
    arrays = other.encodings(1)
    arrays["neutrophil"].view(np.uint32)[3, 5] ^= 1
    np.savez(other.out / "1.npz", neutrophil=arrays["neutrophil"])
    (line,) = differing(plan, now, other)
    assert line.startswith(f"DIFFERS  {plan.scorings[1].name}, encodings of neutrophil, 30 x 8: ")
    assert "1 of 240 values, by at most " in line


def test_one_bit_of_a_score_is_named(made: tuple[Plan, Made], tmp_path: Path) -> None:
    plan, now = made
    other = copied(now, tmp_path / "other")
    results = json.loads((other.out / RESULTS).read_bytes())
    model = results[0]["models"]["neutrophil"]
    was = float.fromhex(model["score"])
    model["score"] = np.nextafter(was, 1).item().hex()
    (other.out / RESULTS).write_text(json.dumps(results))
    (line,) = differing(plan, now, other)
    expected = f"models.neutrophil.score was {was.hex()}, is {model['score']}"
    assert line.endswith(expected)


def test_a_graph_and_a_self_test_of_a_bundle_are_compared_and_its_words_are_not(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    said = rewritten(tiny_bundle, tmp_path / "said.vxb", intended_use="None.")
    assert not any(c.difference for c in bundle_comparisons("tiny", tiny_bundle, said))
    head = {"models/monocyte/head.onnx": b"another"}
    other = rewritten(tiny_bundle, tmp_path / "other.vxb", head)
    found = [str(c) for c in bundle_comparisons("tiny", tiny_bundle, other) if c.difference]
    assert found == ["DIFFERS  tiny, models/monocyte/head.onnx, 7 bytes: other bytes"]
    compared = [c.what for c in bundle_comparisons("tiny", tiny_bundle, tiny_bundle)]
    assert "tiny, models/monocyte/golden.npz, cells, 4 x 16 x 16 x 3" in compared


def test_arrays_are_compared_by_bytes_type_and_shape() -> None:
    zero = np.zeros(2, np.float32)
    assert array_difference(zero, zero.copy()) == ""
    assert array_difference(zero, -zero) == "2 of 2 values, by at most 0"
    assert array_difference(zero, zero.astype(np.float64)) == "float32 (2,) became float64 (2,)"
    assert array_difference(zero, zero[:, None]) == "float32 (2,) became float32 (2, 1)"
    nothing = np.empty((0, 4), np.float32)
    assert array_difference(nothing, nothing.copy()) == ""


def test_floats_are_written_without_loss() -> None:
    values = {"score": 0.1 + 0.2, "low": None, "call": True, "cells": ("a", 3)}
    written = json.loads(msgspec.json.encode(exact(values)))
    assert float.fromhex(written["score"]) == 0.1 + 0.2
    assert written["cells"] == ["a", 3]
    assert (written["low"], written["call"]) == (None, True)


def test_many_differences_are_counted_and_a_lost_field_is_named() -> None:
    old = Scored(run={"threads": 2, **{f"seed-{i}": i for i in range(6)}})
    new = Scored(run={f"seed-{i}": i + 1 for i in range(6)})
    said = value_difference(old, new)
    assert said.startswith("run.threads was 2, is absent; run.seed-0 was 0, is 1; ")
    assert said.endswith("; 2 more fields")
    assert value_difference(old, old) == ""


def test_modules_of_another_tree_are_found_out(tmp_path: Path) -> None:
    assert not any(stranger.startswith("vexas_edge") for stranger in strangers(ROOT))
    assert any(stranger.startswith("vexas_edge from ") for stranger in strangers(tmp_path))
