"""Every command of the README runs, in the README's order, in a user's folder."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from lenient import lenient_budgets
from tiny_types import types_bundle

from training.drawn.smears import Phenotype, synthesize_smear, write_smear

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

NETS = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.Conv2d(8, 16, 5, stride=4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )
"""

# What the README takes for granted: a trained encoder and a fitted classifier, in memory.
TRAINED = """
import numpy as np, torch, warnings
from sklearn.svm import SVC
from mylab.nets import build
torch.manual_seed(0)
encoder = build().eval()
rng = np.random.default_rng(0)
features = rng.normal(size=(40, 16)).astype(np.float32)
features /= np.linalg.norm(features, axis=1, keepdims=True)
with warnings.catch_warnings(action="ignore"):
    classifier = SVC(probability=True, random_state=0).fit(features, ["MDS", "VEXAS"] * 20)
"""


# That classifier was fitted on noise, and its scores hang on nothing.
LENIENT = lenient_budgets(0.9)


# .ci/run runs make's commands and those that install; the example has a test of its own.
ELSEWHERE = ("make ", "python3 -m venv", "python -m pip", "python examples/")


def blocks(language: str) -> list[str]:
    """The README's code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The README's shell commands, but those that install and the example, which run elsewhere."""
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(ELSEWHERE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder somewhere else: a smear, a bundle, a network's module, some cells.

    Modules of the user's own have the names of our packages.
    """
    folder = tmp_path_factory.mktemp("user")
    demo = ROOT / "vexas_edge" / "demo"
    shutil.copy(demo / "demo.vxb", folder / "site.vxb")
    for name in ("smear", "smears/A", "smears/B", "exports/B12_blood"):
        zipfile.ZipFile(demo / "smear.zip").extractall(folder / name)
    types_bundle(folder / "types")
    shutil.copy(folder / "types" / "TYPES.vxb", folder)
    (folder / "worklist.csv").write_text("path,case\nB12_blood,B12\n")
    (folder / "known.csv").write_text("case,label,patient\nA,vexas,1\nB,negative,2\n")
    (folder / "secret.key").write_text("a secret of the laboratory")
    cells = folder / "smear" / "Signed slides" / "Segmented neutrophils"
    shutil.copytree(cells, folder / "cells" / "PN")
    (folder / "mylab").mkdir()
    (folder / "mylab" / "nets.py").write_text(NETS)
    for name in ("export.py", "calibration.py", "training/__init__.py", "kit/__init__.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"raise SystemExit('the user's own {name} ran')\n")
    return folder


def run(folder: Path, *command: str, also: int = 0) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert done.returncode in (0, also), f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def write_cohort(folder: Path) -> None:
    """Drawn smears, and the cohort file that names them."""
    rows = ["patient,sample,path,label,split"]
    for seed in range(12):
        label = ("MDS", "VEXAS")[seed % 2]
        phenotype: Phenotype = "vexas" if seed % 2 else "control"
        smear = synthesize_smear(seed, phenotype, 1.0, {"neutrophil": 12})
        write_smear(folder / "cohort" / f"P{seed}", smear)
        rows.append(f"P{seed},P{seed},cohort/P{seed},{label},{'fit' if seed < 6 else 'judge'}")
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")


def python_block(containing: str) -> str:
    (block,) = [block for block in blocks("python") if containing in block]
    return block


def also_right(command: str) -> int:
    """A status other than 0 that is right for a command here."""
    if "--baseline" in command:
        return 8  # slower than before, as it may well be in so short a time
    if " --known " in command:
        return 5  # two slides open nothing
    # Nothing is held, and the bundle takes no covariates.
    return 2 if " confirm " in command or " --covariate" in command else 0


def test_every_command_of_the_readme_runs(folder: Path) -> None:
    scoring = [c for c in commands() if c.startswith("vexas-edge ")]
    exporting = [c for c in commands() if c.startswith("vexas-workshop export")]
    assert len(scoring) == 31
    assert len(exporting) == 4
    for command in scoring[:-1]:
        quick = ["--seconds", "0.1", "--cells", "5"] if " bench " in command else []
        if command.startswith("vexas-edge watch exports") and "--once" not in command:
            quick = ["--once", "--settle", "0"]
        run(folder, *shlex.split(command), *quick, also=also_right(command))
    assert (folder / "results" / "cases" / "000002-smear.json").is_file()
    assert len((folder / "all-results" / "cases.csv").read_text().splitlines()) == 1 + 2 * 2
    run(folder, sys.executable, "-c", python_block("score_case"))
    run(folder, sys.executable, "-c", TRAINED + python_block("save_file"))
    run(folder, *exporting[0].split())
    (smallest,) = [block for block in blocks("toml") if "[models.neutrophil]" in block]
    (folder / "spec.toml").write_text(smallest + LENIENT)
    for command in exporting[1:]:
        run(folder, *command.split())
    write_cohort(folder)
    calibrating = [c for c in commands() if c.startswith("vexas-workshop calibrate")]
    assert len(calibrating) == 4
    for command in calibrating:
        run(folder, *command.split())
    assert (folder / "compared" / "compare.png").is_file()
    assert "scored: neutrophil" in run(folder, *scoring[-1].split()).stdout


def test_the_workshops_commands_lead_from_drawn_patients_to_a_classifier(folder: Path) -> None:
    training = [c for c in commands() if c.startswith("vexas-workshop train")]
    assert [command.split()[2] for command in training] == [
        *("synth", "pretrain", "encode", "evaluate", "fit"),
    ]
    for command in training:
        run(folder, *command.split())
    assert (folder / "report" / "report.html").is_file()
    assert (folder / "pn.skops").is_file()


def test_the_notebook_path_writes_the_same_bundle_as_the_spec(folder: Path) -> None:
    run(folder, sys.executable, "-c", TRAINED + python_block("import write_bundle"))
    lines = [line for line in python_block("import write_bundle").splitlines() if line.strip()]
    assert len(lines) <= 10
    assert (
        "scored: neutrophil"
        in run(folder, "vexas-edge", "score", "smear", "--bundle", "site.vxb").stdout
    )


def test_the_readmes_kit_is_made(folder: Path) -> None:
    (command,) = [c for c in commands() if c.startswith("vexas-workshop kit")]
    run(folder, *command.split())
    wheels = {wheel.name.split("-")[0] for wheel in (folder / "small-kit").rglob("*-win_amd64.whl")}
    assert wheels > {"onnxruntime", "tensorrt_rtx_cu13_bindings", "tensorrt_rtx_cu13_libs"}


def test_no_command_of_the_readme_is_left_out_here() -> None:
    groups = [f"vexas-workshop {group}" for group in ("train", "export", "calibrate", "kit")]
    assert [c for c in commands() if not c.startswith(("vexas-edge ", *groups))] == []


def test_the_template_of_export_init_is_the_readmes_spec_with_remarks(folder: Path) -> None:
    import tomllib

    run(folder, *["vexas-workshop", "export", "init", "-o", "fresh.toml"])
    (smallest,) = [block for block in blocks("toml") if "[models.neutrophil]" in block]
    assert tomllib.loads((folder / "fresh.toml").read_text()) == tomllib.loads(smallest)
