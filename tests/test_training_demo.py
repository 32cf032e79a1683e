"""What ships as the demonstration can be rebuilt, is small, and says what it is."""

from pathlib import Path

import pytest

import vexas_edge
from training.demo_bundle import build_demo
from vexas_edge import open_bundle, read_case, score_case

SHIPPED = Path(vexas_edge.__file__).parent / "demo"
LARGEST_BYTES = 4_000_000


def test_bundle_and_smear_fit_the_wheel_and_say_that_they_are_synthetic() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) <= LARGEST_BYTES
    bundle = open_bundle(SHIPPED / "demo.vxb")
    bundle.check_all_files()
    assert bundle.manifest.synthetic
    assert "SYNTHETIC" in bundle.card()
    assert "untrained" in bundle.manifest.intended_use


def test_a_rebuilt_demo_gives_the_shipped_scores(tmp_path: Path) -> None:
    build_demo(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"demo.vxb", "smear.zip"}
    shipped, rebuilt = (
        score_case(read_case(folder / "smear.zip"), open_bundle(folder / "demo.vxb"))
        for folder in (SHIPPED, tmp_path)
    )
    for old, new in zip(shipped.models, rebuilt.models, strict=True):
        assert (new.model, new.status, new.n_cells) == (old.model, "scored", old.n_cells)
        assert new.score == pytest.approx(old.score, abs=1e-4)
