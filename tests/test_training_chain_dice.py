"""A mask network that has not learnt enough stops the chain before any cell is cut out."""

import json
from pathlib import Path

import pytest
from drawn_crops import drawn_crops, write_table
from test_training_chain import SPEC, write_patients
from tiny import cell_pixels
from training_command import Training
from training_command import training as training

from vexas_edge.errors import InputError

MASKS = """
[isolate]
masks = "masks/masks.csv"
recipe = { steps = 1, batch = 2, side_px = 96 }
least_dice = 0.9
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    write_patients(tmp_path / "cohort", cell_pixels)
    write_table(tmp_path / "masks", drawn_crops(4), ["fit", "fit", "judge", "judge"])
    path = tmp_path / "spec.toml"
    path.write_text(SPEC + MASKS)
    return path


def with_least_dice(spec: Path, least: str) -> Path:
    spec.write_text(SPEC + MASKS.replace("least_dice = 0.9", least))
    return spec


def test_a_mask_network_under_the_limit_stops_the_chain_and_stays_done(
    training: Training, spec: Path
) -> None:
    out = spec.parent / "out"
    ended = training("run", spec, "-o", out)
    figures = json.loads((out / "mask-network" / "agreement.json").read_text())
    dice = figures["judged"]["dice_mean"]
    assert ended.status == InputError.exit_status
    assert f"reaches a mean Dice of {dice:.3f} on 2 images that it had not seen" in ended.err
    assert "expected at least least_dice = 0.9" in ended.err
    assert "Add masks, train for more steps (isolate.recipe.steps), or lower" in ended.err
    assert [folder.name for folder in out.iterdir()] == ["mask-network"]
    again = training("run", with_least_dice(spec, "least_dice = 0"), "-o", out)
    assert "mask-network: already done" in again.err
    assert "monocyte/isolate ..." in again.err


def test_a_mask_network_that_nothing_judges_is_not_trained_unless_on_purpose(
    training: Training, spec: Path
) -> None:
    table = spec.parent / "masks" / "masks.csv"
    table.write_text(table.read_text().replace("judge", "fit"))
    out = spec.parent / "out"
    ended = training("run", with_least_dice(spec, ""), "-o", out)
    assert ended.status == InputError.exit_status
    assert f"{table} sets no image apart" in ended.err
    assert "least_dice = 0.9 on; add some, or set isolate.least_dice = 0" in ended.err
    assert not out.exists()
    again = training("run", with_least_dice(spec, "least_dice = 0"), "-o", out)
    assert "mask-network: done" in again.err


def test_an_image_that_is_set_apart_is_learnt_from_no_more(training: Training, spec: Path) -> None:
    """The hash of the masks was once the same if the table's first images to judge moved there."""
    out = spec.parent / "out"
    training("run", spec, "-o", out)
    table = spec.parent / "masks" / "masks.csv"
    table.write_text(table.read_text().replace("judge", "fit", 1))
    assert "mask-network: done" in training("run", spec, "-o", out).err
