"""Are cheaper graphs still the same model, compared with those of onnxruntime's own recipe?

    python examples/lymphocytosis/precision.py COHORT_DIR ENCODER_ONNX -o OUT

The patients are split five times: 60 for the classifier and for calibration, 40 on whom every graph
is judged, with the same draws. No graph is refused, so that all figures are shown.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from fitting import Split, fit_classifiers
from patients import CANVAS, CELL_TYPE, aggregates, encode_patients, read_patients
from product import BUNDLE, BundleSource, export_bundle, write_sources
from sklearn.model_selection import train_test_split

from calibration.gate.figures import GateResult, gate_result
from calibration.gate.judgement import REFERENCE, judge
from calibration.gate.samples import draw_samples
from calibration.gate.smears import open_smears
from export.execution import session_from
from export.graph import between
from vexas_edge.bundle.archive import open_bundle
from vexas_edge.bundle.contract import (
    CELLS,
    DECISIONS,
    DRAWS,
    EMBEDDING,
    ENCODINGS,
    PROBABILITIES,
    SCALED,
)
from vexas_edge.bundle.graphs import CHEAPER, HEAD, graph_file
from vexas_edge.commands.console import ProgressLine, run_command_line
from vexas_edge.host.libraries import load_library
from vexas_edge.smear.cohort import CohortCase, read_cohort
from vexas_edge.smear.options import ReadOptions

quantization = load_library("onnxruntime.quantization")
CalibrationDataReader: Any = quantization.CalibrationDataReader

POSITIVE, ENCODER = "tumoral", "encoder.onnx"
# The options of onnxruntime's own recipe that match each of our kinds.
STOCK = {
    "int8": {"activation_type": quantization.QuantType.QUInt8},
    "int8-rr": {"activation_type": quantization.QuantType.QUInt8, "reduce_range": True},
    "int8-trt": {
        "activation_type": quantization.QuantType.QInt8,
        "extra_options": {"ActivationSymmetric": True, "WeightSymmetric": True},
    },
}
JUDGED = 40
FIT, JUDGE = "fit", "judge"
CALIBRATION_CELLS = 512


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is done.

    seeds: the number of splits.
    judged: patients on whom graphs are judged, per split.
    patients_per_group: patients used of each split and label; None for all.
    """

    seeds: int = 5
    judged: int = JUDGED
    patients_per_group: int | None = None


QUICK = Plan(seeds=1, judged=8, patients_per_group=5)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("cohort_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("encoder_onnx", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for bundles, graphs and precision.json.",
)
@click.option(
    "--quick", is_flag=True, help="Use few patients and one split, only to see that it runs."
)
def cli(cohort_dir: Path, encoder_onnx: Path, out: Path, quick: bool) -> None:
    """Convert and judge graphs on five splits of the cohort in COHORT_DIR.

    COHORT_DIR holds cohort.csv; ENCODER_ONNX is the encoder as an ONNX file.
    """
    plan = QUICK if quick else Plan()
    rows = read_patients(cohort_dir, plan.patients_per_group)
    out.mkdir(parents=True, exist_ok=True)
    (out / ENCODER).write_bytes(encoder_onnx.read_bytes())
    labels = [row.label for row in rows]
    splits = [stratified_split(labels, plan.judged, seed) for seed in range(plan.seeds)]
    medians = [aggregates(patient) for patient in encode_patients(rows, out / ENCODER)]
    classifiers = fit_classifiers(medians, labels, splits)
    found = []
    for split, classifier in zip(splits, classifiers, strict=True):
        folder = out / split.name
        source = BundleSource(
            name=f"lymphocytosis-{split.name}",
            classifier=classifier,
            encoder=f"../{ENCODER}",
            positive=POSITIVE,
            training_data=f"{len(split.fit)} patients of the lymphocytosis cohort",
            parity_cells=rows[split.fit[0]].path,
        )
        write_sources(source, folder)
        export_bundle(folder)
        write_cohort(rows, split, folder / "cohort.csv")
        found += figures_of_split(folder, split.name)
        click.echo(table_from_figures([f for f in found if f["split"] == split.name]))
    (out / "precision.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    click.echo(summary_from_figures(found))


def stratified_split(labels: Sequence[str], judged: int, seed: int) -> Split:
    """A random split that sets `judged` patients apart, in the cohort's proportion of labels."""
    everyone = np.arange(len(labels))
    fit, judge = train_test_split(everyone, test_size=judged, stratify=labels, random_state=seed)
    return Split(name=f"split-{seed}", fit=np.sort(fit), judge=np.sort(judge))


def write_cohort(rows: Sequence[CohortCase], split: Split, to: Path) -> None:
    """Write the cohort file of one split."""
    with to.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient", "sample", "path", "label", "split"])
        for name, indices in ((FIT, split.fit), (JUDGE, split.judge)):
            for row in (rows[i] for i in indices):
                writer.writerow([row.patient, row.sample, row.path.resolve(), row.label, name])


def figures_of_split(folder: Path, split: str) -> list[dict[str, Any]]:
    """Convert by the public commands and by the stock recipe; returns the figures of all graphs."""
    for kind in ("int8", "fp16"):
        command = [
            sys.executable,
            "-m",
            "vexas_edge.workshop",
            "calibrate",
            kind,
            BUNDLE,
            "--cohort",
            "cohort.csv",
        ]
        asked = ["--gate", "none", "--cell-type", CELL_TYPE]
        subprocess.run([*command, *asked], cwd=folder, check=True, capture_output=True)
    bundle, reading = open_bundle(folder / BUNDLE), ReadOptions(cell_type=CELL_TYPE)
    name, model = next(iter(bundle.manifest.models.items()))
    rows = read_cohort(folder / "cohort.csv")
    with ExitStack() as stack:
        seen = open_smears(rows, FIT, reading, stack)
        sample, _ = draw_samples(seen, model, CANVAS, CALIBRATION_CELLS, seed=0)
        made = [k for k in (REFERENCE, *CHEAPER) if graph_file(k) in model.files]
        graphs = {kind: bundle.model_file(name, graph_file(kind)) for kind in made}
        graphs |= stock_graphs(graphs[REFERENCE], list(sample.batches()), folder)
        smears = open_smears(rows, JUDGE, reading, stack)
        head = bundle.model_file(name, HEAD)
        judgement = judge(smears, bundle, name, head, graphs, ProgressLine(split, unit=""))
    results = {kind: gate_result(judgement, kind, model.threshold) for kind in graphs}
    return [
        {"split": split, "graph": kind, **_figures(kind, results)}
        for kind in results
        if kind != REFERENCE
    ]


def _figures(kind: str, results: dict[str, GateResult]) -> dict[str, Any]:
    """One graph's figures.

    `flips` holds, per flipped call, how far its float32 score is from the threshold.
    """
    result, stock = results[kind], results.get(f"stock-{kind}")
    return {
        "auc": result.auc,
        "auc_change": result.auc - result.auc_reference,
        "flips": [abs(flip.score_reference - result.threshold) for flip in result.flips],
        "cosine_p1": result.cosine_p1,
        "decision_drift": result.decision_drift,
        "of_stock_drift": result.decision_drift / stock.decision_drift if stock else None,
        "largest_activation": result.largest_activation,
    }


class _Cells(CalibrationDataReader):
    def __init__(self, batches: list[np.ndarray], session_input: str) -> None:
        self._feeds = iter([{session_input: batch} for batch in batches])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def stock_graphs(reference: bytes, batches: list[np.ndarray], folder: Path) -> dict[str, bytes]:
    """Graphs by onnxruntime's static quantisation, per channel, min-max, on the same cells.

    Only the encoder is quantised, and put back between our own preprocessing and head.
    """
    fused = onnx.ModelProto.FromString(reference)
    encoder, prepared, quantised = (
        folder / f"stock-{n}.onnx" for n in ("fp32", "prepared", "int8")
    )
    onnx.save(between(fused, [SCALED], [EMBEDDING]), encoder)
    quantization.quant_pre_process(encoder, prepared, skip_symbolic_shape=True)
    preprocessing = session_from(between(fused, [CELLS], [SCALED]))
    pixels = [preprocessing.run(None, {CELLS: batch})[0] for batch in batches]
    graphs = {}
    for kind, options in STOCK.items():
        quantization.quantize_static(
            prepared,
            quantised,
            _Cells(pixels, SCALED),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            **options,
        )
        whole = with_encoder(fused, onnx.load(quantised))
        graphs[f"stock-{kind}"] = whole.SerializeToString()
    return graphs


def with_encoder(fused: onnx.ModelProto, encoder: onnx.ModelProto) -> onnx.ModelProto:
    """The fused graph with another encoder in its place."""
    before = between(fused, [CELLS], [SCALED])
    after = between(fused, [EMBEDDING, DRAWS], [ENCODINGS, PROBABILITIES, DECISIONS])
    graph = onnx.helper.make_graph(
        [*before.graph.node, *encoder.graph.node, *after.graph.node],
        "stock",
        list(fused.graph.input),
        list(fused.graph.output),
        [*before.graph.initializer, *encoder.graph.initializer, *after.graph.initializer],
    )
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10
    )


def table_from_figures(figures: Sequence[dict[str, Any]]) -> str:
    """The table of one split, with one line per graph."""
    return "\n".join(
        f"{f['split']} {f['graph']:<14} AUC {f['auc']:.4f} ({f['auc_change']:+.4f})  "
        f"flips {len(f['flips'])}  cosine p1 {f['cosine_p1']:.5f}  "
        f"decision drift {f['decision_drift']:.4f}{_of_stock([f])}"
        for f in figures
    )


def summary_from_figures(figures: Sequence[dict[str, Any]]) -> str:
    """The table over all splits, with one line per graph."""
    lines = ["", "over all splits:"]
    for kind in dict.fromkeys(f["graph"] for f in figures):
        own = [f for f in figures if f["graph"] == kind]
        changes = [f["auc_change"] for f in own]
        flips = [distance for f in own for distance in f["flips"]]
        lines.append(
            f"{kind:<14} AUC change mean {np.mean(changes):+.4f}, worst {min(changes):+.4f}; "
            f"{len(flips)} calls flip, at most {max(flips, default=0):.3f} from the threshold; "
            f"cosine p1 at least {min(f['cosine_p1'] for f in own):.5f}{_of_stock(own)}"
        )
    return "\n".join(lines)


def _of_stock(figures: Sequence[dict[str, Any]]) -> str:
    """Text with the decision drift as a share of the matching stock graph's, on average."""
    shares = [f["of_stock_drift"] for f in figures]
    return f"; decision drift {np.mean(shares):.2f} of stock" if all(shares) else ""


if __name__ == "__main__":
    run_command_line(cli)
