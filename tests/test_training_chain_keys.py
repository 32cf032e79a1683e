"""Only the stages that a change touches get another key.

Stages that give later ones something to look at are run; the others only write files, the same at
every run, whose content can be chosen.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from test_training_chain import SPEC as TINY
from test_training_chain import write_patients
from tiny import cell_pixels, mask_network, png
from training_command import Training
from training_command import training as training

import training.chain.chain as chain_module
from training.chain.chain_spec import chain_from_file
from training.chain.run import run_chain
from training.chain.source import PACKAGES, source_now
from training.chain.stages import Stage, run_stage
from training.talk import Talk
from vexas_edge.smear import sources

ROOT = Path(chain_module.__file__).parents[2]
SPEC = """
name = "tiny"
version = "0.1.0"
positive = "VEXAS"
cohort = "cohort.csv"
precisions = ["int8-rr"]

[isolate]
network = "masks.onnx"

[models.monocyte]
cells = ["monocyte"]
backbone = "compact"
preprocessing = "torchvision"
normalise = "background"

[models.neutrophil]
cells = ["neutrophil_segmented"]
backbone = "compact"
preprocessing = "torchvision"
weights = "other.safetensors"
probe.cohort = "probe.csv"
"""
RUN = ("background", "isolate", "mask-network")
WRITTEN = {
    "pretrain": ("encoder.safetensors",),
    "encode": ("encodings.npz", "metadata.csv"),
    "probe": ("probe.json",),
    "evaluate": ("sentences.txt", "report.html"),
    "fit": ("classifier.skops",),
    "export": ("exported.vxb",),
    "reference": ("referenced.vxb",),
    "bundle": ("tiny.vxb",),
}
MONOCYTE = {f"monocyte/{stage}" for stage in (*("background", "isolate", "pretrain"), "encode")}
JUDGED = {
    f"{model}/{stage}" for model in ("monocyte", "neutrophil") for stage in ("evaluate", "fit")
}
LAST = {"export", "reference", "bundle"}


@dataclass
class Workshop:
    """A chain in a folder, and a copy of our source that a test may edit.

    contents: of the files that a stage writes, unless they are to be empty.
    """

    folder: Path
    source: Path
    contents: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def changed_by(self, change: Callable[[], Any]) -> set[str]:
        """The stages that have another key after the change."""
        before = self.run()
        change()
        after = self.run()
        assert before.keys() == after.keys()
        return {stage for stage, key in after.items() if before[stage] != key}

    def run(self) -> dict[str, str]:
        self.keys = {}
        silent = Talk(say=lambda _: None, progress=lambda *_: None)
        spec = chain_from_file(self.folder / "spec.toml")
        run_chain(spec, self.folder, self.folder / "out", silent)
        return self.keys

    def stage(self, folder: Path, inputs: Any, make: Any, **asked: Any) -> Stage:
        where = folder.relative_to(self.folder / "out").as_posix()
        self.keys[where] = json.dumps(inputs, sort_keys=True)
        if folder.name in RUN:
            return run_stage(folder, inputs, make, **asked)
        folder.mkdir(parents=True, exist_ok=True)
        for name in WRITTEN[folder.name]:
            (folder / name).write_text(self.contents.get(f"{where}/{name}", ""))
        files = {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in WRITTEN[folder.name]
        }
        return Stage(folder=folder, key="", files=files, anew=True)

    def edit(self, file: str) -> None:
        """Add a line to a file of our source."""
        with (self.source / file).open("a") as stream:
            stream.write("# more\n")

    def replace(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    folder = tmp_path / "work"
    lines = ["patient,sample,path,label,split,age_years"]
    for n in range(4):
        write_cell(folder / f"S{n}" / "monocyte" / "0.png", n)
        write_cell(folder / f"S{n}" / "neutrophil_segmented" / "0.png", 10 + n)
        label, split = ("VEXAS", "MDS")[n % 2], ("fit", "judge")[n // 2]
        lines.append(f"P{n},S{n},S{n},{label},{split},{50 + n}")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    write_cell(folder / "probe" / "neutrophil_segmented" / "0.png", 20)
    (folder / "probe.csv").write_text(f"{lines[0]}\nQ,T,probe,toxic,all,1\n")
    onnx.save(mask_network(), folder / "masks.onnx")
    (folder / "other.safetensors").write_bytes(b"weights")
    (folder / "spec.toml").write_text(SPEC)
    made = Workshop(folder=folder, source=copied_source(tmp_path / "source", monkeypatch))
    monkeypatch.setattr(chain_module, "run_stage", made.stage)
    return made


def write_cell(path: Path, seed: int) -> None:
    """A cell in the middle of a clear slide, so that the mask network finds it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] - 32
    pixels = np.full((64, 64, 3), (240, 235, 238), float)
    pixels[np.hypot(x, y) < 10] = (200, 130, 120)
    pixels[np.hypot(x, y) < 5] = (110, 40, 120)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(np.clip(rng.normal(pixels, 3), 0, 255).astype(np.uint8)))


def copied_source(to: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of our source, by which chains then make their keys."""
    ignored = shutil.ignore_patterns("__pycache__", "demo")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, to / package, ignore=ignored)
    monkeypatch.setattr(chain_module, "source_now", lambda: source_now(to))
    return to


def test_a_second_run_has_the_same_keys_wherever_the_cohort_lies(workshop: Workshop) -> None:
    before = workshop.run()
    assert len(before) == 15
    workshop.folder = workshop.folder.rename(workshop.folder.with_name("moved"))
    assert workshop.run() == before


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("training/pretraining/trainer.py", {"monocyte/pretrain"}),
        ("training/encodings/probe.py", {"neutrophil/probe"}),
        ("training/mask_network/segmenter.py", set()),  # the network was given
        ("training/chain/run.py", set()),  # what it decides is said by what stages are given
        ("training/chain/chain_spec.py", set()),
        ("calibration/conversion.py", {"bundle"}),
        ("export/assembly.py", {"export"}),
        ("training/reference/forests.py", {"reference"}),
        ("vexas_edge/report/html.py", set()),
    ],
)
def test_an_edit_concerns_the_stages_that_use_the_file(
    workshop: Workshop, file: str, stages: set[str]
) -> None:
    assert workshop.changed_by(lambda: workshop.edit(file)) == stages


@pytest.mark.parametrize(
    "file", ["training/patients/report.py", "training/templates/evaluation.html"]
)
def test_an_edit_of_the_report_concerns_evaluation_alone(workshop: Workshop, file: str) -> None:
    changed = workshop.changed_by(lambda: workshop.edit(file))
    assert changed == {"monocyte/evaluate", "neutrophil/evaluate"}


def test_how_cells_are_named_concerns_every_stage_that_reads_them(workshop: Workshop) -> None:
    file = "vexas_edge/smear/vocabularies/vexas.toml"
    changed = workshop.changed_by(lambda: workshop.edit(file))
    assert changed >= {*MONOCYTE, "neutrophil/isolate", "neutrophil/encode", *LAST}


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("monocyte/pretrain/encoder.safetensors", {"monocyte/encode", "export"}),
        ("monocyte/encode/encodings.npz", {"monocyte/evaluate", "monocyte/fit", "export"}),
        ("monocyte/evaluate/sentences.txt", {"export"}),
        ("monocyte/evaluate/report.html", set()),
        ("export/exported.vxb", {"reference"}),
    ],
)
def test_what_a_stage_writes_concerns_those_who_read_it_and_the_bundle_that_states_its_hash(
    workshop: Workshop, file: str, stages: set[str]
) -> None:
    assert workshop.changed_by(lambda: workshop.contents.update({file: "new"})) == stages


def test_another_cell_concerns_the_model_of_its_class_alone(workshop: Workshop) -> None:
    place = workshop.folder / "S0" / "monocyte" / "1.png"
    assert workshop.changed_by(lambda: write_cell(place, 100)) == {*MONOCYTE, *LAST}


def test_a_cell_that_no_model_reads_concerns_nothing(workshop: Workshop) -> None:
    place = workshop.folder / "S0" / "lymphocyte" / "0.png"
    assert workshop.changed_by(lambda: write_cell(place, 100)) == set()


def test_a_cell_to_judge_by_does_not_concern_what_is_learnt(workshop: Workshop) -> None:
    place = workshop.folder / "S3" / "monocyte" / "1.png"
    changed = workshop.changed_by(lambda: write_cell(place, 100))
    # The bundle says of which isolated cells it is, and is exported anew.
    assert changed == {"monocyte/isolate", "monocyte/encode", "export", "bundle"}


def test_a_label_concerns_only_stages_that_use_labels(workshop: Workshop) -> None:
    def relabel() -> None:
        workshop.replace("cohort.csv", "P1,S1,S1,MDS", "P1,S1,S1,CMML")
        workshop.replace("cohort.csv", "P3,S3,S3,MDS", "P3,S3,S3,CMML")

    assert workshop.changed_by(relabel) == {*JUDGED, "reference", "bundle"}


def test_a_covariate_concerns_the_evaluation_alone(workshop: Workshop) -> None:
    changed = workshop.changed_by(lambda: workshop.replace("cohort.csv", "fit,50", "fit,90"))
    assert changed == {"monocyte/evaluate", "neutrophil/evaluate"}


def test_a_label_of_a_probe_concerns_the_probe_alone(workshop: Workshop) -> None:
    changed = workshop.changed_by(lambda: workshop.replace("probe.csv", "toxic", "left-shifted"))
    assert changed == {"neutrophil/probe"}


def test_cells_to_probe_are_isolated_already_and_brought_to_no_other_slide(
    workshop: Workshop,
) -> None:
    workshop.replace("spec.toml", 'weights = "other', 'normalise = "background"\nweights = "other')
    given = {name: json.loads(key)["given"] for name, key in workshop.run().items()}
    assert len(given["neutrophil/isolate"]["background"]) == 3
    assert given["neutrophil/encode"]["background"] is None
    assert given["neutrophil/probe"]["encode"]["background"] is None


def test_each_image_is_read_once_for_all_keys(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.run()  # so that no stage reads images any more
    read: list[bytes] = []
    folder = sources.FolderSource
    real = folder.read

    def counting(self: sources.FolderSource, path: str) -> bytes:
        read.append(real(self, path))
        return read[-1]

    monkeypatch.setattr(folder, "read", counting)
    workshop.run()
    assert len(read) == len(set(read)) == 4 * 2 + 1  # and none that isolation wrote


def test_a_stage_whose_code_was_edited_gives_way_alone_if_it_writes_the_same(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is imitated here: the whole chain runs, on cells of a dozen pixels."""
    write_patients(tmp_path / "cohort", cell_pixels)
    (tmp_path / "spec.toml").write_text(TINY)
    source = copied_source(tmp_path / "source", monkeypatch)
    assert training("run", tmp_path / "spec.toml", "-o", tmp_path / "out").status == 0
    for module, stage in (("pretraining/pace", "pretrain"), ("patients/report", "evaluate")):
        with (source / "training" / f"{module}.py").open("a") as stream:
            stream.write("# the same work\n")
        ended = training("run", tmp_path / "spec.toml", "-o", tmp_path / "out")
        assert ended.status == 0, ended.err
        made = re.findall(r"^(\S+): done$", ended.err, re.MULTILINE)
        assert made == [f"monocyte/{stage}"]
