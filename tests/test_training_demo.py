"""What ships as the demonstration is small, says what it is, and is what its spec describes."""

import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

import vexas_edge
from training.chain.chain_spec import chain_from_file
from training.chain.demo import SPEC, demo_scores, install_demo, write_shown_smear
from training.drawn.made_up_cohort import CELLS
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.graphs import ISOLATE
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.errors import UsageError

SHIPPED = Path(vexas_edge.__file__).parent / "demo"
LARGEST_BYTES = 5_500_000
# Of 255 levels: CPUs round a drawing's pixels otherwise by one, which JPEG makes a few of.
MOST_LEVELS, MEAN_LEVELS = 4, 0.05


def test_bundle_and_smear_fit_the_wheel_and_say_that_they_are_synthetic() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) <= LARGEST_BYTES
    bundle = open_bundle(SHIPPED / "demo.vxb")
    bundle.check_all_files()
    assert bundle.manifest.synthetic
    assert "SYNTHETIC" in bundle.card()
    assert "no patient" in bundle.card()
    assert "Mask network, on 168 images that it had not seen" in bundle.card()


def test_the_shipped_bundle_is_of_the_spec_and_tells_how_it_was_made() -> None:
    """`make demo-bundle` trains for minutes and refuses scores that have moved."""
    spec, manifest = chain_from_file(SPEC), open_bundle(SHIPPED / "demo.vxb").manifest
    assert (manifest.name, manifest.version, manifest.lead) == (spec.name, spec.version, spec.lead)
    assert list(manifest.models) == list(spec.models)
    assert manifest.budgets == spec.budgets
    stages = manifest.provenance["stages"]
    for name, model in manifest.models.items():
        assert model.images.canvas_px == spec.models[name].canvas_px
        assert ISOLATE in model.files
        assert model.files["fused.int8.onnx"].tested
        assert model.minimum_cells == spec.models[name].minimum_cells
        assert set(stages[name]) == {
            "background",
            "isolate",
            "pretrain",
            "encode",
            "evaluate",
            "fit",
        }


def test_the_shipped_smear_is_called_vexas_by_every_model() -> None:
    result = score_case(read_case(SHIPPED / "smear.zip"), open_bundle(SHIPPED / "demo.vxb"))
    assert [(model.status, model.call) for model in result.models] == [("scored", True)] * 2
    n_counted = sum(model.n_cells for model in result.models)
    assert n_counted + len(result.rejected) == CELLS["neutrophil"] + CELLS["monocyte"]


def test_the_shipped_bundle_has_a_domain_gate_and_the_shipped_smear_lies_within(
    tmp_path: Path,
) -> None:
    bundle = open_bundle(SHIPPED / "demo.vxb")
    assert bundle.card().startswith("# synthetic-demo")
    result = score_case(read_case(SHIPPED / "smear.zip"), bundle)
    assert result.missing_gate is None
    assert all(model.domain and model.domain.margin <= 0 for model in result.models)
    blurred = score_case(read_case(blurred_copy(tmp_path / "blurred")), bundle)
    assert blurred.status == "abstained"
    assert [model.score for model in blurred.models] == [None, None]
    assert all(model.reasons for model in blurred.models)


def blurred_copy(to: Path) -> Path:
    """The shipped smear, out of focus."""
    with zipfile.ZipFile(SHIPPED / "smear.zip") as archive:
        archive.extractall(to)
    for path in to.rglob("*.jpg"):
        with Image.open(path) as image:
            sharp = image.convert("RGB")
        sharp.filter(ImageFilter.GaussianBlur(2)).save(path, quality=95)
    return to


@pytest.mark.real_data
def test_real_cells_abstain_on_the_shipped_bundle(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "jhu_discovery"
    for words, cell_class, n_cells in (
        ("Segmented neutrophils", "neutrophil_segmented", 60),
        ("Monocyte", "monocyte", 20),
    ):
        (tmp_path / "P1" / cell_class).mkdir(parents=True)
        files = sorted(source.glob(f"Patient_*/**/{words}/*.jpg"))[:n_cells]
        assert len(files) == n_cells
        for number, file in enumerate(files):
            shutil.copyfile(file, tmp_path / "P1" / cell_class / f"{number}.jpg")
    result = score_case(read_case(tmp_path / "P1"), open_bundle(SHIPPED / "demo.vxb"))
    assert [(model.status, model.score) for model in result.models] == [("abstained", None)] * 2


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
            away = abs(one - other)
            assert away.max() <= MOST_LEVELS, name
            assert away.mean() <= MEAN_LEVELS, name


def test_a_rebuild_is_installed_only_if_scores_stay(tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(SHIPPED, tmp_path / "ships")
    shutil.copytree(SHIPPED, other)
    same = install_demo(SHIPPED, tmp_path / "ships", accept=False)
    assert {model: new for model, (_, new) in same.items()} == demo_scores(SHIPPED)
    leave_out_a_cell(other / "smear.zip")
    with pytest.raises(UsageError, match=r"is unchanged, as scores moved .*--accept to use them"):
        install_demo(other, tmp_path / "ships", accept=False)
    assert demo_scores(tmp_path / "ships") == demo_scores(SHIPPED)
    install_demo(other, tmp_path / "ships", accept=True)
    assert demo_scores(tmp_path / "ships") == demo_scores(other)


def test_a_damaged_demonstration_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "demo.vxb").write_bytes(b"not a bundle")
    with pytest.raises(UsageError, match="None to 0"):
        install_demo(SHIPPED, tmp_path, accept=False)
    install_demo(SHIPPED, tmp_path, accept=True)
    assert demo_scores(tmp_path) == demo_scores(SHIPPED)


def leave_out_a_cell(smear: Path) -> None:
    with zipfile.ZipFile(smear) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if "SNE_000001" not in name}
    with zipfile.ZipFile(smear, "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
