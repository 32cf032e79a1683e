"""What ships as the demonstration is small, says what it is, and is what its spec describes."""

import zipfile
from pathlib import Path

import vexas_edge
from training.chain.spec import chain_from_file
from training.demo_bundle import SPEC, write_shown_smear
from training.synthetic_cohort import CELLS
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.images import rgb_from_bytes
from vexas_edge.manifest import ISOLATE

SHIPPED = Path(vexas_edge.__file__).parent / "demo"
LARGEST_BYTES = 6_000_000
ONE_LEVEL = 1  # of 255, by which decoders and platforms may differ


def test_bundle_and_smear_fit_the_wheel_and_say_that_they_are_synthetic() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) <= LARGEST_BYTES
    bundle = open_bundle(SHIPPED / "demo.vxb")
    bundle.check_all_files()
    assert bundle.manifest.synthetic
    assert "SYNTHETIC" in bundle.card()
    assert "no patient" in bundle.card()


def test_the_shipped_bundle_is_of_the_spec_and_tells_how_it_was_made() -> None:
    """`make demo-bundle` trains for half an hour and says how far the scores have moved."""
    spec, manifest = chain_from_file(SPEC), open_bundle(SHIPPED / "demo.vxb").manifest
    assert (manifest.name, manifest.version, manifest.lead) == (spec.name, spec.version, spec.lead)
    assert list(manifest.models) == list(spec.models)
    stages = manifest.provenance["stages"]
    for name, model in manifest.models.items():
        assert model.canvas_px == spec.models[name].canvas_px
        assert ISOLATE in model.files
        assert model.files["fused.int8.onnx"].tested
        assert set(stages[name]) == {"pretrain", "encode", "evaluate", "fit"}


def test_the_shipped_smear_is_called_vexas_by_every_model() -> None:
    result = score_case(read_case(SHIPPED / "smear.zip"), open_bundle(SHIPPED / "demo.vxb"))
    assert [(model.status, model.call) for model in result.models] == [("scored", True)] * 2
    n_counted = sum(model.n_cells for model in result.models)
    assert n_counted + len(result.rejected) == CELLS["neutrophil"] + CELLS["monocyte"]


def test_the_shipped_smear_is_what_is_drawn_today(tmp_path: Path) -> None:
    """Else the bundle is of other drawings than a rebuild would learn from."""
    write_shown_smear(tmp_path / "smear.zip", tmp_path / "files")
    with (
        zipfile.ZipFile(SHIPPED / "smear.zip") as shipped,
        zipfile.ZipFile(tmp_path / "smear.zip") as drawn,
    ):
        assert shipped.namelist() == drawn.namelist()
        for name in shipped.namelist():
            one, other = (rgb_from_bytes(z.read(name)).astype(int) for z in (shipped, drawn))
            assert abs(one - other).max() <= ONE_LEVEL, name
