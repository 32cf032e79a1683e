"""`vexas-workshop calibrate`: graphs that passed are added; if none did, nothing changes."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest
from cpu_kinds import JUDGEABLE, OWN
from tiny import Ended, bundle_content, cell_pixels, png, rewritten, write_cohort

from calibration import candidates
from calibration.additions import NewGraph, add_graphs
from calibration.cli import cli
from calibration.gate.verdict import Verdict, warning_from_verdict
from calibration.integers.recipe import RoundedModel
from calibration.proof.census import multiply_adds
from calibration.rehearsal import KeptLayer
from vexas_edge import open_bundle
from vexas_edge.bundle.budgets import Budget, Budgets
from vexas_edge.bundle.graphs import graph_file
from vexas_edge.commands.console import run_command_line
from vexas_edge.host.cache import cache_folder

MODELS = ("neutrophil", "monocyte", "lymphocyte")
# Encoders of two untrained layers have no redundancy: their rounding is coarser than a network's.
LENIENT = Budget(
    cosine_p1=0.95,
    auc_drop=1,
    flipped_share=1,
    flip_margin=1,
    score_drift=1,
    patients_per_class=2,
    calibration_distance=1,
)
Calibration = Callable[..., Ended]


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle, with budgets that its tiny encoders can keep to."""
    budgets = Budgets(fp16=LENIENT, int8=LENIENT, int8_rr=LENIENT, int8_trt=LENIENT)
    return rewritten(tiny_bundle, tmp_path / "b.vxb", budgets=budgets)


@pytest.fixture
def calibration(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Calibration:
    """Runs `vexas-workshop calibrate`, in this process."""

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["calibration", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command_line(cli)
        captured = capsys.readouterr()
        status = ended.value.code or 0
        assert isinstance(status, int)
        return Ended(status=status, out=captured.out, err=captured.err)

    return run


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def with_rows(cohort: Path, folder: Path, change: Callable[[list[list[str]]], Any]) -> Path:
    """A copy of the cohort with its rows changed in place."""
    shutil.copytree(cohort.parent, folder)
    rows = [line.split(",") for line in (folder / "cohort.csv").read_text().splitlines()]
    change(rows)
    (folder / "cohort.csv").write_text("\n".join(",".join(row) for row in rows) + "\n")
    return folder / "cohort.csv"


def test_int8_adds_graphs_that_were_judged_on_other_patients(
    calibration: Calibration, bundle: Path, cohort: Path, vexas_edge: Callable[..., Ended]
) -> None:
    before = open_bundle(bundle)
    ended = calibration("int8", bundle, "--cohort", cohort)
    assert ended.status == 0, ended.err
    assert ended.out.count(": passed: cosine p1 0.99") == 3 * len(JUDGEABLE)
    assert ended.out.count("flip, 100.0 % of multiply-adds in integers\n") == 3 * len(JUDGEABLE)
    assert ended.out.endswith(f"wrote {bundle}\n")
    after = open_bundle(bundle)
    after.check_all_files()
    for name in MODELS:
        files = after.manifest.models[name].files
        assert set(files) - set(before.manifest.models[name].files) == set(
            map(graph_file, JUDGEABLE)
        )
        for kind in JUDGEABLE:
            measured = files[graph_file(kind)].measured
            assert files[graph_file(kind)].tested
            assert measured["multiply_adds"] == {"int8": 1.0, "fp16": 0.0, "fp32": 0.0}
            assert measured["calibration"]["patients"] == 6
            assert (measured["gate"]["n_positive"], measured["gate"]["n_cells"]) == (2, 32)
            assert measured["ran_on"] == "emulated" or kind != "int8-trt"
    assert vexas_edge("verify", bundle).out.count("fused.int8") == 3
    scored = vexas_edge("score", cohort.parent / "S0", "--bundle", bundle, "--json")
    assert json.loads(scored.out)["run"]["precision"] == "int8"


def test_a_cpu_without_vnni_leaves_its_graph_out_and_says_so(
    calibration: Calibration, bundle: Path, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "has_vnni", lambda: False)
    before = digest(bundle)
    refused = calibration("int8", bundle, "--cohort", cohort, "--only", "int8")
    assert (refused.status, refused.out, digest(bundle)) == (4, "", before)
    assert "fused.int8.onnx cannot be judged here: this CPU has no VNNI" in refused.err
    ended = calibration("int8", bundle, "--cohort", cohort)
    assert ended.status == 0, ended.err
    assert ended.err.startswith("warning: fused.int8.onnx is left out: this CPU has no VNNI")
    files = open_bundle(bundle).manifest.models["monocyte"].files
    assert {file for file in files if "int8" in file} == {
        *("fused.int8-rr.onnx", "fused.int8-trt.onnx")
    }


def test_figures_of_a_graph_that_this_cpu_cannot_judge_are_not_compared(
    calibration: Calibration, bundle: Path, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("int8", "int8-rr"):
        opened = open_bundle(bundle)
        reference = opened.model_file("monocyte", graph_file("fp32"))
        graph = NewGraph(
            model="monocyte", file=graph_file(kind), content=reference, measured={}, tested=True
        )
        add_graphs(opened, [graph], bundle)
    monkeypatch.setattr(candidates, "has_vnni", lambda: False)
    ended = calibration("compare", bundle, "--cohort", cohort)
    assert ended.status == 0, ended.err
    assert "warning: fused.int8.onnx is left out" in ended.err
    assert [line.split()[1] for line in ended.out.splitlines() if "monocyte" in line] == [
        *("fp32", "int8-rr")
    ]


def test_fp16_is_judged_by_emulation_and_says_so(
    calibration: Calibration, bundle: Path, cohort: Path, vexas_edge: Callable[..., Ended]
) -> None:
    ended = calibration("fp16", bundle, "--cohort", cohort)
    assert ended.status == 0, ended.err
    entry = open_bundle(bundle).manifest.models["monocyte"].files["fused.fp16.onnx"]
    assert entry.measured["ran_on"] == "emulated"
    assert entry.measured["gate"]["cosine_p1"] > 0.9999
    assert 0 < entry.measured["gate"]["largest_activation"] < 100
    refused = vexas_edge(
        "score", cohort.parent / "S0", "--bundle", bundle, "--precision", "fp16", "--device", "cpu"
    )
    assert refused.status == 4


def test_the_same_command_gives_the_same_bytes_with_and_without_the_cache(
    calibration: Calibration, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    out = [tmp_path / f"{i}.vxb" for i in range(2)]
    for path in out:
        assert calibration("int8", bundle, "--cohort", cohort, "-o", path).status == 0
    assert digest(out[0]) == digest(out[1])
    kept = list((cache_folder() / "calibration").glob("ranges-*.json"))
    assert len(kept) == 3 * 2  # min-max and percentile
    assert set(open_bundle(bundle).manifest.models["monocyte"].files) == {
        *("fused.fp32.onnx", "head.onnx", "golden.npz")
    }


def test_a_graph_over_its_budget_is_refused_and_the_bundle_stays(
    calibration: Calibration, tiny_bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    strict = Budgets(**{OWN.replace("-", "_"): Budget(cosine_p1=1, auc_drop=1)})
    bundle = rewritten(tiny_bundle, tmp_path / "b.vxb", budgets=strict)
    before = digest(bundle)
    ended = calibration("int8", bundle, "--cohort", cohort, "--only", OWN)
    assert ended.status == 6
    assert f"monocyte {graph_file(OWN)}: REFUSED: cosine p1 " in ended.out
    assert "1st-percentile cosine of encodings" in ended.err
    assert "(at least 1.0)" in ended.err
    assert f"error: {bundle} is unchanged; over budget: " in ended.err
    assert digest(bundle) == before


def test_graphs_that_passed_are_added_and_those_that_did_not_are_named(
    calibration: Calibration, tiny_bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    strict = Budget(cosine_p1=1, auc_drop=1)
    budgets = Budgets(int8=LENIENT, int8_rr=LENIENT, int8_trt=strict)
    bundle = rewritten(tiny_bundle, tmp_path / "b.vxb", budgets=budgets)
    ended = calibration(
        "int8", bundle, "--cohort", cohort, "--only", "int8-rr", "--only", "int8-trt"
    )
    assert ended.status == 6
    assert "monocyte fused.int8-rr.onnx: passed: " in ended.out
    assert "monocyte fused.int8-trt.onnx: REFUSED: " in ended.out
    added = ", ".join(f"{name} fused.int8-rr.onnx" for name in MODELS)
    said = f"error: not all graphs passed: added to {bundle}: {added}; not added, as over budget: "
    assert said + "neutrophil fused.int8-trt.onnx: " in ended.err
    opened = open_bundle(bundle)
    opened.check_all_files()
    for name in MODELS:
        files = opened.manifest.models[name].files
        assert {file for file in files if "int8" in file} == {"fused.int8-rr.onnx"}
        assert files["fused.int8-rr.onnx"].tested


def test_layers_that_stay_in_float_are_named_with_the_reason_and_their_share(
    calibration: Calibration, bundle: Path, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep_all(model: RoundedModel, *_: Any) -> tuple[KeptLayer, ...]:
        shares = multiply_adds(model.calibration.model, model.weights)
        zeros = {"cosine_gain": 0.0, "decision_drift": 0.0, "extra_ms_per_cell": 0.0}
        return tuple(
            KeptLayer(layer=name, multiply_adds=share, **zeros) for name, share in shares.items()
        )

    monkeypatch.setattr(candidates, "choose_float_layers", keep_all)
    ended = calibration("int8", bundle, "--cohort", cohort, "--only", OWN)
    assert ended.status == 0, ended.err
    assert ended.out.count(", 0.0 % of multiply-adds in integers\n") == 3
    kept = (
        open_bundle(bundle)
        .manifest.models["monocyte"]
        .files[graph_file(OWN)]
        .measured["kept_float"]
    )
    kept.sort(key=lambda layer: -layer["multiply_adds"])
    named = ", ".join(f"{k['layer']} ({100 * k['multiply_adds']:.1f} %)" for k in kept)
    assert (
        f"warning: monocyte {graph_file(OWN)}: only 0.0 % of multiply-adds are in integers, so it "
        "may be no faster than float32; in integers, these layers moved the encodings over the "
        f"budget and stay in float32: {named}\n"
    ) in ended.err


@pytest.mark.parametrize(("share", "warns"), [(0.9, False), (0.899, True)])
def test_less_than_nine_tenths_in_integers_is_a_warning(share: float, warns: bool) -> None:
    verdict = Verdict(
        model="m",
        kind="int8",
        result=None,
        missed=(),
        integers=share,
        kept_float={"a": 0.001, "b": 0.1},
    )
    warning = warning_from_verdict(verdict) or ""
    assert warning.endswith("float32: b (10.0 %), a (0.1 %)") == warns
    assert bool(warning) == warns


def test_without_a_gate_a_graph_is_untested_and_not_scored_with(
    calibration: Calibration, bundle: Path, cohort: Path, vexas_edge: Callable[..., Ended]
) -> None:
    ended = calibration("int8", bundle, "--cohort", cohort, "--gate", "none")
    assert ended.status == 0, ended.err
    assert ended.out.count("UNTESTED, no gate") == 3 * len(JUDGEABLE)
    entry = open_bundle(bundle).manifest.models["monocyte"].files[graph_file(OWN)]
    assert (entry.tested, entry.measured["gate"]) == (False, "none")
    assert "UNTESTED" in vexas_edge("inspect", bundle).out
    case = cohort.parent / "S0"
    scored = json.loads(vexas_edge("score", case, "--bundle", bundle, "--json").out)
    assert scored["run"]["precision"] == "fp32"
    assert "untested" in scored["run"]["choice_reason"]
    refused = vexas_edge("score", case, "--bundle", bundle, "--precision", "int8")
    assert refused.status == 4
    assert "is untested" in refused.err


def _one_label(rows: list[list[str]]) -> None:
    for row in rows[1:]:
        row[3] = "VEXAS"


def _unknown_label(rows: list[list[str]]) -> None:
    rows[7][3] = "healthy"


def _patient_in_both(rows: list[list[str]]) -> None:
    rows[7][0], rows[7][3] = rows[1][0], rows[1][3]


def _no_judge(rows: list[list[str]]) -> None:
    for row in rows[1:]:
        row[4] = "fit"


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (_one_label, 5, "all have the label VEXAS; it takes patients of the class VEXAS"),
        (
            _unknown_label,
            5,
            "labels healthy are not classes of the bundle, which are MDS, VEXAS, control",
        ),
        (_patient_in_both, 5, "patient 'P0' has two splits"),
        (_no_judge, 5, "no case in the split 'judge'; its splits are fit"),
        (lambda rows: rows.__delitem__(slice(1, None)), 5, "has no row below its header"),
    ],
)
def test_a_cohort_that_cannot_judge_changes_nothing(
    calibration: Calibration,
    bundle: Path,
    cohort: Path,
    tmp_path: Path,
    change: Callable[[list[list[str]]], Any],
    status: int,
    message: str,
) -> None:
    before = digest(bundle)
    changed = with_rows(cohort, tmp_path / "cohort", change)
    ended = calibration("int8", bundle, "--cohort", changed)
    assert (ended.status, ended.out) == (status, "")
    assert message in ended.err
    assert digest(bundle) == before


def test_one_cell_in_calibration_and_in_the_gate_is_named(
    calibration: Calibration, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    before = digest(bundle)
    copied = with_rows(cohort, tmp_path / "cohort", lambda _: None)
    shutil.copy(
        copied.parent / "S1" / "monocyte" / "3.png", copied.parent / "S8" / "monocyte" / "x.png"
    )
    ended = calibration("int8", bundle, "--cohort", copied)
    assert (ended.status, ended.out) == (5, "")
    assert "(S1: monocyte/3.png) and in the gate (S8: monocyte/x.png)" in ended.err
    assert digest(bundle) == before


def test_one_split_for_both_is_refused(
    calibration: Calibration, bundle: Path, cohort: Path
) -> None:
    ended = calibration("int8", bundle, "--cohort", cohort, "--gate", "fit")
    assert ended.status == 2
    assert "calibration and gate both use the split 'fit'" in ended.err


def test_a_model_without_any_cell_is_named(
    calibration: Calibration, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    bare = with_rows(cohort, tmp_path / "cohort", lambda _: None)
    for folder in bare.parent.glob("S*/monocyte"):
        shutil.rmtree(folder)
    ended = calibration("int8", bundle, "--cohort", bare)
    assert ended.status == 5
    assert "holds no readable cell of monocyte" in ended.err


def test_an_unreadable_cell_is_named_and_the_others_are_used(
    calibration: Calibration, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    damaged = with_rows(cohort, tmp_path / "cohort", lambda _: None)
    (damaged.parent / "S2" / "monocyte" / "0.png").write_bytes(b"no image")
    (damaged.parent / "S9" / "monocyte" / "0.png").write_bytes(b"no image either")
    ended = calibration("int8", bundle, "--cohort", damaged, "--only", OWN)
    assert ended.status == 0, ended.err
    assert "warning: not used: S2: monocyte/0.png" in ended.err
    assert "warning: not used: S9: monocyte/0.png" in ended.err


def test_cells_that_show_nothing_are_rejected_and_not_unreadable(
    calibration: Calibration, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    blank = with_rows(cohort, tmp_path / "cohort", lambda _: None)
    for i in range(2):
        content = png(cell_pixels(1)[:1, :1].repeat(9, 0).repeat(9 + i, 1))
        (blank.parent / "S9" / "monocyte" / f"blank {i}.png").write_bytes(content)
    ended = calibration("int8", bundle, "--cohort", blank, "--only", OWN)
    assert ended.status == 0, ended.err
    assert "warning: not used: S9: monocyte/blank 0.png: the image shows nothing" in ended.err


def _two_cells(cohort: Path) -> None:
    for name in ("S6", "S9"):
        (cohort / name / "monocyte" / "0.png").write_bytes(b"no image")


def _a_whole_smear(cohort: Path) -> None:
    for path in (cohort / "S9").rglob("*.png"):
        path.write_bytes(b"")


def _a_quarter_of_a_models_cells(cohort: Path) -> None:
    for i in range(60):  # so that all in all hardly any cell is lost
        (cohort / "S6" / "neutrophil" / f"more {i}.png").write_bytes(png(cell_pixels(7000 + i)))
    for i in range(2):
        (cohort / "S9" / "monocyte" / f"{i}.png").write_bytes(b"no image")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_two_cells, "2 of the gate's 96 cells cannot be read (the first: S6: monocyte/0.png"),
        (_a_whole_smear, "no cell of the gate's smear 'S9' can be read (the first: S9: "),
        (
            _a_quarter_of_a_models_cells,
            "model 'monocyte': 2 of the 8 cells of the gate's smear 'S9' cannot be read",
        ),
    ],
)
def test_a_gate_that_cannot_read_its_cohort_refuses_and_does_not_abstain(
    calibration: Calibration,
    bundle: Path,
    cohort: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    said: str,
) -> None:
    before = digest(bundle)
    spoiled = with_rows(cohort, tmp_path / "cohort", lambda _: None)
    spoil(spoiled.parent)
    for command in (("int8", "--only", OWN), ("compare", "-o", str(tmp_path / "compared"))):
        ended = calibration(command[0], bundle, "--cohort", spoiled, *command[1:])
        assert ended.status == 5, ended.err
        assert said in ended.err
    assert digest(bundle) == before


def test_a_graph_with_an_unknown_operator_is_refused(
    calibration: Calibration, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    path = "models/monocyte/fused.fp32.onnx"
    model = onnx.ModelProto.FromString(bundle_content(bundle)[1][path])
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Sin"
    strange = rewritten(bundle, tmp_path / "strange.vxb", files={path: model.SerializeToString()})
    before = digest(strange)
    for kind in ("int8", "fp16"):
        ended = calibration(kind, strange, "--cohort", cohort)
        assert ended.status == 6
        assert "operators that cannot be converted: Sin (at " in ended.err
    assert digest(strange) == before


@pytest.mark.parametrize("moment", ["in a file", "before it takes its place"])
def test_an_interruption_while_writing_changes_nothing(
    calibration: Calibration,
    bundle: Path,
    cohort: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    before = digest(bundle)
    seen = []

    def interrupted(*_: Any) -> None:
        (partial,) = bundle.parent.glob("*.partial")
        seen.append(partial.stat().st_size)
        raise KeyboardInterrupt

    if moment == "in a file":
        monkeypatch.setattr(zipfile.ZipFile, "writestr", interrupted)
    else:
        monkeypatch.setattr(Path, "replace", interrupted)
    assert calibration("fp16", bundle, "--cohort", cohort).status == 130
    assert len(seen) == 1  # it was being written
    assert digest(bundle) == before
    assert not list(bundle.parent.glob("*.partial"))


def test_ctrl_c_in_a_process_of_its_own_changes_nothing(bundle: Path, cohort: Path) -> None:
    before = digest(bundle)
    arguments = ["int8", str(bundle), "--cohort", str(cohort)]
    with subprocess.Popen(
        [sys.executable, "-m", "vexas_edge.workshop", "calibrate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert b"passed" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert digest(bundle) == before


def test_a_folder_is_converted_into_a_new_bundle(
    calibration: Calibration, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "folder")
    ended = calibration("fp16", tmp_path / "folder", "--cohort", cohort)
    assert ended.status == 2
    assert "name a new bundle with -o" in ended.err
    to = tmp_path / "new.vxb"
    assert calibration("fp16", tmp_path / "folder", "--cohort", cohort, "-o", to).status == 0
    assert "fused.fp16.onnx" in open_bundle(to).manifest.models["monocyte"].files


def test_a_place_that_cannot_be_written_is_named_before_any_work(
    calibration: Calibration, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    for to, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "b.vxb", "cannot be written")):
        ended = calibration("int8", bundle, "--cohort", cohort, "-o", to)
        assert (ended.status, ended.out) == (4, "")
        assert said in ended.err


def test_too_few_patients_cannot_judge_and_those_who_abstain_are_named(
    calibration: Calibration, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    few = with_rows(cohort, tmp_path / "cohort", lambda _: None)
    for file in list((few.parent / "S9" / "monocyte").iterdir())[:5]:
        file.unlink()
    ended = calibration("fp16", bundle, "--cohort", few)
    assert ended.status == 6
    assert "monocyte fused.fp16.onnx: only 1 patients of one class (at least 2)" in ended.err
    assert "model monocyte: smears not used, as they have too few cells: S9" in ended.err
    models = open_bundle(bundle).manifest.models
    assert [name for name in MODELS if "fused.fp16.onnx" in models[name].files] == [
        *("neutrophil", "lymphocyte")
    ]


def test_an_untested_graph_does_not_replace_a_tested_one(
    calibration: Calibration, bundle: Path, cohort: Path
) -> None:
    assert calibration("fp16", bundle, "--cohort", cohort).status == 0
    before = digest(bundle)
    ended = calibration("fp16", bundle, "--cohort", cohort, "--gate", "none")
    assert ended.status == 2
    assert "was tested; an untested one must not replace it" in ended.err
    assert digest(bundle) == before


def test_float16_may_be_judged_on_the_patients_that_integers_are_calibrated_on(
    calibration: Calibration, bundle: Path, cohort: Path
) -> None:
    assert calibration("fp16", bundle, "--cohort", cohort, "--gate", "fit").status == 0


def test_a_second_conversion_keeps_the_first(
    calibration: Calibration, bundle: Path, cohort: Path
) -> None:
    assert calibration("fp16", bundle, "--cohort", cohort).status == 0
    assert calibration("int8", bundle, "--cohort", cohort, "--only", OWN).status == 0
    files = open_bundle(bundle).manifest.models["monocyte"].files
    assert {"fused.fp16.onnx", graph_file(OWN)} < set(files)


def test_compare_puts_all_precisions_side_by_side(
    calibration: Calibration, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    for kind in ("int8", "fp16"):
        assert calibration(kind, bundle, "--cohort", cohort).status == 0
    ended = calibration("compare", bundle, "--cohort", cohort, "-o", tmp_path / "out")
    assert "UNTESTED" not in ended.out
    assert ended.status == 0, ended.err
    lines = ended.out.splitlines()
    kinds = ["fp32", "fp16", *JUDGEABLE]
    assert len(lines) == 1 + 3 * len(kinds)
    compared = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [row["kind"] for row in compared[: len(kinds)]] == kinds
    reference, half = compared[:2]
    assert (reference["gate"]["cosine_p1"], reference["auc_change"]) == (pytest.approx(1), 0)
    assert reference["ms_per_cell"] > 0
    assert half["ms_per_cell"] is None
    assert reference["auc"]["low"] <= reference["auc"]["roc_auc"] <= reference["auc"]["high"]
    assert set(reference["scores"]) == {"S6", "S7", "S8", "S9"}
    assert (tmp_path / "out" / "compare.png").read_bytes().startswith(png_start())


def png_start() -> bytes:
    import numpy as np

    return png(np.zeros((1, 1, 3), np.uint8))[:8]


def test_budgets_stand_in_the_manifest_and_read_back(bundle: Path) -> None:
    text = json.loads(zipfile.ZipFile(bundle).read("manifest.json"))
    assert text["budgets"]["int8-rr"]["cosine_p1"] == 0.95
    assert msgspec.convert(text["budgets"], Budgets).of("int8-rr") == LENIENT
