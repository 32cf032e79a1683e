"""What `offline.py` runs: every command once, on inputs that take seconds."""

import shutil
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lenient import lenient_budgets
from test_reference import COMMANDS

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "vexas_edge" / "demo"
LIFE_S = 75
MANY = "patients=70"  # in what draws the cohort of the demonstration


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command. status: with which it must end; 4 where this PC lacks something."""

    name: str
    command: tuple[str, ...]
    status: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


def steps(lines: str) -> tuple[Step, ...]:
    """A step for each line; a line that begins with spaces goes on with the one above it."""
    commands = [tuple(line.split()) for line in lines.strip().replace("\n ", " ").splitlines()]
    return tuple(Step(name=name_of(words), command=words) for words in commands)


def name_of(words: Sequence[str]) -> str:
    """The command that the words call, as it is typed."""
    return next(name for n in (3, 2) if (name := " ".join(words[:n])) in COMMANDS)


# Models of a few seconds are not the same in another precision.
LENIENT = lenient_budgets(0.0)

MADE = f"""
name = "made"
version = "1.0.0"
positive = "vexas"
synthetic = true

[models.neutrophil]
cells = ["neutrophil_segmented"]
encoder = "compact"
weights = "pn/encoder.safetensors"
preprocessing = "torchvision"
encoding = "l2"
canvas_px = 160
larger = "crop"
classifier = "pn.skops"
minimum_cells = 5
parity_cells = "cells"
{LENIENT}
"""

# Calibrated by patient, a classifier is refused if it has learnt nothing, as may be in seconds.
CHAIN = """
name = "chain"
version = "1.0.0"
positive = "vexas"
synthetic = true
cohort = "cohort/cohort.csv"
training_data = "drawn cells"

[models.neutrophil]
cells = ["neutrophil_segmented"]
minimum_cells = 10
backbone = "compact"
preprocessing = "torchvision"
canvas_px = 160
larger = "crop"
pretrain.batch.size = 32
pretrain.views = { crop_px = 80 }
pretrain.pace = { schedule = "cosine", rate = 2e-3, epochs = 2 }
svm = { calibration = "libsvm", draws = { draws = 5, size = 3 } }
"""
ISOLATED = """
[isolate]
network = "isolate.onnx"
"""

LIVES = """
import sys, time
began = time.monotonic()
from vexas_edge.host import libraries
if sys.argv[1] == "loud":
    libraries.switch_off = lambda: None
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.runtime.session import Sessions
seconds, *engines = sys.argv[2:]
bundle = open_bundle("site.vxb")
for engine in engines:
    with read_case("smear") as case:
        with Sessions(bundle, EngineOptions(engine=engine), "fp32") as sessions:
            print(score_case(case, bundle, sessions).status)
time.sleep(max(0, float(seconds) - (time.monotonic() - began)))
"""
# In a copy of the checkout, because this command writes into the checkout that it is part of.
REBUILD = Step(
    name="vexas-workshop train demo-bundle",
    command=("vexas-workshop", "train", "demo-bundle", "--accept"),
    environment={"PYTHONPATH": "checkout"},
)
# It builds for other PCs, as there is no GPU, in a cache that nothing else looks into.
ENGINE = Step(
    name="vexas-workshop export engine",
    command=("vexas-workshop", "export", "engine", "site.vxb"),
)
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

# A smear that shares its cells with another one.
HELD = Step(
    name="vexas-edge score",
    command=("vexas-edge", "score", "part", "--bundle", "site.vxb", "-o", "results"),
    status=3,
)

# Each chain runs beside the others.
CHAINS = (
    steps("""
vexas-workshop train synth --patients 4 --crops
    --neutrophil 4 --monocyte 0 --lymphocyte 0 -o crops
vexas-workshop train segmenter crops/masks.csv --steps 2 -o isolate.safetensors
vexas-workshop train isolate crops/cohort.csv --network isolate.onnx -o alone
vexas-workshop train synth --patients 16 --strength 1
    --neutrophil 24 --monocyte 0 --lymphocyte 0 -o cohort
vexas-workshop train pretrain cohort/cohort.csv --cells neutrophil_segmented --backbone compact
    --preprocessing torchvision --crop-px 80 --batch-size 32 --schedule cosine
    --rate 2e-3 --epochs 2 -o pn
vexas-workshop train background cohort/cohort.csv --cells neutrophil_segmented
vexas-workshop train encode cohort/cohort.csv --cells neutrophil_segmented --encoder compact
    --weights pn/encoder.safetensors --preprocessing torchvision --canvas-px 160 --larger crop
    -o encodings
vexas-workshop train probe encodings/encodings.npz --groups vexas,control -o probed
vexas-workshop train evaluate encodings/encodings.npz --positive vexas --cohort cohort/cohort.csv
    --draws 5 -o report
vexas-workshop train bags cohort/cohort.csv --cells neutrophil_segmented --positive vexas
    --backbone compact --preprocessing torchvision --canvas-px 64 --start pn/encoder.safetensors
    --aggregation learned --epochs 2 --folds 2 -o bags
vexas-workshop train synth --patients 6 --neutrophil 8 --monocyte 8 --lymphocyte 8 -o mixed
vexas-workshop train typing sources.toml --backbone compact --preprocessing torchvision
    --start pn/encoder.safetensors --canvas-px 64 --last 1 --epochs 2 --copies 1 --folds 2
    --precision 0.1 -o types
vexas-workshop export bundle types/spec.toml -o types.vxb
vexas-workshop train types types.vxb sources.toml -o judged
vexas-workshop train blind site.vxb mixed/cohort.csv --types-from types.vxb -o blind
vexas-workshop train fit encodings/encodings.npz --draws 5 --calibration libsvm -o pn.skops
vexas-workshop export encoder compact --weights pn/encoder.safetensors --canvas-px 160
    -o encoder.onnx
vexas-workshop export svm pn.skops -o head.onnx
vexas-workshop export bundle made.toml -o made.vxb
vexas-workshop train reference made.vxb --cohort cohort/cohort.csv --fixed --calibration libsvm
vexas-workshop calibrate preflight encoder.onnx
vexas-workshop calibrate fp16 made.vxb --cohort cohort/cohort.csv
vexas-workshop calibrate int8 made.vxb --cohort cohort/cohort.csv
vexas-workshop calibrate compare made.vxb --cohort cohort/cohort.csv -o compared
vexas-workshop train synth-tables --patients 6 --cells 20 -o drawn
vexas-workshop train expression drawn/tables --cells drawn/cells.csv --positive ill --folds 2
    --epochs 2 --pretrain-epochs 1 -o taught
vexas-workshop export bundle taught/spec.toml -o tables.vxb
vexas-edge score drawn/tables --recursive --bundle tables.vxb -o scored-tables
vexas-workshop train run chain.toml -o stages
"""),
    (
        *steps("""
vexas-edge scan smear
vexas-edge inspect site.vxb
vexas-edge verify site.vxb
vexas-edge doctor
vexas-edge demo -o demo-results
vexas-edge commission smear --bundle site.vxb --instrument made-up --software 1
vexas-edge score smear --bundle site.vxb -o results
"""),
        HELD,
        *steps(f"""
vexas-edge results confirm results part
vexas-edge results verify results
vexas-edge results table results -o excel.csv
vexas-edge replay results/cases/000002-smear.json --input smear --bundle site.vxb
vexas-edge report results/cases/000002-smear.json --input smear
vexas-edge watch exports --bundle site.vxb -o watched --settle 1 --once
vexas-edge results rebuild results
vexas-edge prepare --bundle site.vxb --seconds 0.1
vexas-edge score smear --bundle site.vxb --engine openvino --precision fp32
    -o openvino-results
vexas-edge bench --bundle site.vxb --seconds 0.1 --cells 5 --plot bench.png -o figures.jsonl
vexas-workshop export init -o fresh.toml
vexas-workshop export schemas -o schemas
vexas-workshop kit --bundle site.vxb --system linux --python {PYTHON} -o kit
"""),
        ENGINE,
        REBUILD,
    ),
)


# A process that scores, and lives on: onnxruntime waits before it looks up a name.
LIVING = Step(
    name=f"a process of {LIFE_S} s",
    command=("lives.py", "silent", str(LIFE_S), "onnxruntime", "openvino"),
)
# What must be seen, of each library alone: every score comes from onnxruntime in the end.
CONTROLS = (
    Step(name="onnxruntime", command=("lives.py", "loud", str(LIFE_S), "onnxruntime")),
    Step(
        name="openvino",
        command=("lives.py", "loud", "0", "openvino"),
        environment={"ORT_DISABLE_TELEMETRY": "1"},
    ),
)


def write_inputs(work: Path) -> None:
    """Write what the steps take for granted into a new folder."""
    work.mkdir()
    shutil.copy(DEMO / "demo.vxb", work / "site.vxb")
    with zipfile.ZipFile(DEMO / "smear.zip") as smear:
        smear.extractall(work / "smear")
        smear.extractall(work / "part")
        smear.extractall(work / "exports" / "P1")
    next((work / "part").rglob("SNE_*.jpg")).unlink()
    shutil.copytree(work / "smear" / "Signed slides" / "Segmented neutrophils", work / "cells")
    (work / "lives.py").write_text(LIVES)
    (work / "made.toml").write_text(MADE)
    (work / "chain.toml").write_text(CHAIN)
    (work / "sources.toml").write_text('[sources.drawn]\ncohort = "mixed/cohort.csv"\n')
    checkout = work / "checkout"
    for name in ("vexas_edge", "training", "export", "calibration", "kit", "examples"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("*.pyc"))
    (checkout / "examples" / "vexas" / "spec.toml").write_text(CHAIN + ISOLATED)
    rebuilding = checkout / "training" / "chain" / "demo.py"
    text = rebuilding.read_text(encoding="utf-8")
    assert MANY in text
    rebuilding.write_text(text.replace(MANY, "patients=8"), encoding="utf-8")
    (checkout / "build" / "demo").mkdir(parents=True)
    with zipfile.ZipFile(work / "site.vxb") as bundle:
        network = bundle.read("models/neutrophil/isolate.onnx")
    for folder in (work, checkout / "build" / "demo"):
        (folder / "isolate.onnx").write_bytes(network)
