"""A spec becomes a bundle that scores, or nothing at all."""

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skops.io
import torch
from onnx import parser
from PIL import Image
from safetensors.torch import save_file
from sklearn.calibration import CalibratedClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC
from torch import nn

import export
from export import classifier_parity, parity
from export.comparing import ParityError
from export.fuse import fuse_graphs, head_graph
from export.heads import MedianHead
from export.inputs import load_cells, load_classifier, load_encoder
from export.preprocessing import PREPROCESSINGS, CanvasScaling
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.cells.canvas import Canvas
from vexas_edge.errors import HostError, InputError, UsageError
from vexas_edge.smear.options import ReadOptions

PX = 16


def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def features() -> tuple[np.ndarray, list[str]]:
    x = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True), ["MDS", "VEXAS"] * 15


@pytest.fixture(scope="module")
def svc() -> SVC:
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return SVC(probability=True, random_state=0).fit(*features())


@pytest.fixture
def folder(tmp_path: Path, svc: SVC) -> Path:
    """What a researcher has: weights, a classifier, a factory, real cells."""
    rng = np.random.default_rng(2)
    (tmp_path / "cells").mkdir()
    for index in range(6):
        cell = rng.integers(0, 256, (10 + index, 12, 3), dtype=np.uint8)
        Image.fromarray(cell).save(tmp_path / "cells" / f"{index}.png")
    save_file(net().state_dict(), tmp_path / "pn.safetensors")
    skops.io.dump(svc, tmp_path / "pn.skops")
    return tmp_path


def fields(folder: Path, **model: Any) -> dict[str, Any]:
    common = {
        "cells": ["monocyte"],
        "preprocessing": "keras-caffe",
        "canvas_px": PX,
        "encoding": "l2",
        "parity_cells": str(folder / "cells"),
    }
    models = {"monocyte": {**common, **model}}
    return {"name": "site", "version": "1", "positive": "VEXAS", "models": models}


def test_a_bundle_from_objects_in_memory_states_what_was_measured(folder: Path, svc: SVC) -> None:
    export.write_bundle(fields(folder), encoder=net(), classifier=svc, to=folder / "b.vxb")
    bundle = open_bundle(folder / "b.vxb")
    bundle.check_all_files()
    manifest = bundle.manifest
    assert (manifest.classes, manifest.positive) == (("MDS", "VEXAS"), "VEXAS")
    assert manifest.models["monocyte"].medians.label_rule == "votes"
    fused = manifest.models["monocyte"].files["fused.fp32.onnx"]
    assert fused.opset == 18
    assert fused.measured["cells"] == 6
    assert 0 <= fused.measured["encodings"] <= fused.measured["encodings_allowed"] <= 1e-5
    head = manifest.models["monocyte"].files["head.onnx"]
    assert head.measured["probabilities"] <= 1e-5
    assert head.measured["stock_skl2onnx"] <= 1e-5
    assert head.measured["label_flips"] == 0
    assert "VEXAS" in bundle.card()


@pytest.mark.parametrize(
    ("input_layout", "shape", "axes"), [("nchw", "3,H,W", "2, 3"), ("nhwc", "H,W,3", "1, 2")]
)
def test_an_onnx_file_that_ends_in_identity_becomes_a_bundle_that_scores(
    input_layout: str, shape: str, axes: str, folder: Path
) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g (float[N,{shape}] x) => (float[N,3] y)
    <int64[2] axes = {{{axes}}}> {{ m = ReduceMean <keepdims = 0> (x, axes) y = Identity (m) }}"""
    onnx.save(parser.parse_model(text), folder / "mean.onnx")
    x, labels = features()
    classifier = CalibratedClassifierCV(SVC(), ensemble=False).fit(x[:, :3], labels)
    spec = fields(folder, encoder=str(folder / "mean.onnx"), input_layout=input_layout)
    spec["models"]["monocyte"]["minimum_cells"] = 2
    export.write_bundle(spec, classifier=classifier, to=folder / "b.vxb")
    case = read_case(folder / "cells", ReadOptions(cell_type="monocyte"))
    (scored,) = score_case(case, open_bundle(folder / "b.vxb")).models
    cells = load_cells(folder / "cells", Canvas(canvas_px=PX, larger="reject")).astype(np.float64)
    means = cells.mean(axis=(1, 2))[:, ::-1] - [103.939, 116.779, 123.68]
    encodings = means / np.linalg.norm(means, axis=1, keepdims=True)
    expected = classifier.predict_proba(encodings)[:, 1]
    assert scored.status == "scored"
    assert expected.min() <= scored.score <= expected.max()


def test_the_same_sources_give_the_same_bytes(
    folder: Path, svc: SVC, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    for name in ("a.vxb", "b.vxb"):
        export.write_bundle(fields(folder), encoder=net(), classifier=svc, to=folder / name)
    assert (folder / "a.vxb").read_bytes() == (folder / "b.vxb").read_bytes()
    assert open_bundle(folder / "a.vxb").manifest.created == "1970-01-01"


def test_a_calibrated_classifier_labels_by_argmax(folder: Path) -> None:
    classifier = CalibratedClassifierCV(SVC(), ensemble=False).fit(*features())
    manifest = export.write_bundle(
        fields(folder), encoder=net(), classifier=classifier, to=folder / "b.vxb"
    )
    assert manifest.models["monocyte"].medians.label_rule == "argmax"


def test_models_of_a_bundle_may_have_other_classes(folder: Path, svc: SVC) -> None:
    x, labels = features()
    renamed = {"MDS": "control"}
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        other = SVC(probability=True).fit(x, [renamed.get(label, label) for label in labels])
        lower = SVC(probability=True).fit(x, [label.lower() for label in labels])
    spec = fields(folder)
    spec["models"]["lymphocyte"] = {**spec["models"]["monocyte"], "cells": ["lymphocyte"]}
    encoders = {"monocyte": net(), "lymphocyte": net()}

    def classes(classifier: SVC) -> tuple[str, ...]:
        classifiers = {"monocyte": svc, "lymphocyte": classifier}
        return export.write_bundle(
            spec, encoder=encoders, classifier=classifiers, to=folder / "b.vxb"
        ).classes

    assert classes(other) == ("MDS", "VEXAS", "control")
    with pytest.raises(UsageError, match="not one of the classes of model 'lymphocyte', mds, vexa"):
        classes(lower)


def other_net() -> nn.Module:
    module = net()
    with torch.no_grad():
        module.get_parameter("2.weight").mul_(1.01)
    return module


@pytest.mark.parametrize(
    ("tensor", "preprocessing", "source"),
    [("scaled", "keras-tf", net()), ("embedding", "keras-caffe", other_net())],
)
def test_the_first_tensor_that_diverges_is_named(
    tensor: str, preprocessing: str, source: nn.Module, folder: Path, svc: SVC
) -> None:
    def reference(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return source.eval()(torch.from_numpy(pixels)).numpy()

    encoder = load_encoder(None, folder, canvas_px=PX, module=net())
    caffe, head = on_canvas("keras-caffe"), MedianHead(classifier=svc, draw_size=10)
    with pytest.raises(ParityError, match=f"{tensor} is the first tensor that diverges"):
        parity.check_parity(
            fuse_graphs(encoder.model, head, caffe, encoding="l2"),
            head_graph(head),
            cells=load_cells(folder / "cells", Canvas(canvas_px=PX, larger="reject")),
            scaling=on_canvas(preprocessing),
            encoding="l2",
            reference=reference,
            head=head,
        )


def on_canvas(preprocessing: str) -> CanvasScaling:
    return CanvasScaling(preprocessing=PREPROCESSINGS[preprocessing], canvas_px=PX)


def check(folder: Path, svc: SVC, fused_classifier: SVC | None = None) -> parity.Parity:
    encoder = load_encoder(None, folder, canvas_px=PX, module=net())
    caffe, head = on_canvas("keras-caffe"), MedianHead(classifier=svc, draw_size=10)
    fused = MedianHead(classifier=fused_classifier or svc, draw_size=10)
    return parity.check_parity(
        fuse_graphs(encoder.model, fused, caffe, encoding="l2"),
        head_graph(head),
        cells=load_cells(folder / "cells", Canvas(canvas_px=PX, larger="reject")),
        scaling=caffe,
        encoding="l2",
        reference=encoder.reference,
        head=head,
    )


def test_encodings_that_are_not_normalised_are_named(
    folder: Path, svc: SVC, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.fuse.SMALLEST_NORM", 1e9)
    with pytest.raises(ParityError, match="encodings is the first tensor that diverges"):
        check(folder, svc)


def test_a_median_that_is_none_is_named(
    folder: Path, svc: SVC, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.median._middle", lambda size: [size // 2])
    with pytest.raises(ParityError, match="aggregates is the first tensor that diverges"):
        check(folder, svc)


def test_a_fused_graph_with_another_classifier_is_named(folder: Path, svc: SVC) -> None:
    x, labels = features()
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        other = SVC(C=30, probability=True, random_state=0).fit(x, labels)
    with pytest.raises(ParityError, match="fused probabilities is the first tensor that diverges"):
        check(folder, svc, fused_classifier=other)


def test_a_flipped_label_is_counted_and_refused() -> None:
    decisions, probabilities = np.array([[0.1], [-0.1]]), np.array([[0.4, 0.6], [0.6, 0.4]])
    outputs = {"decisions": -decisions, "probabilities": probabilities}
    with pytest.raises(ParityError, match="labels: 2 differ"):
        classifier_parity._label_flips(outputs, decisions, probabilities, np.ones(2, bool))


def test_a_breach_of_parity_writes_nothing(
    folder: Path, svc: SVC, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_parity, "_PROBABILITY_TOLERANCE", 0.0)
    with pytest.raises(ParityError, match="probabilities is the first tensor that diverges"):
        export.write_bundle(fields(folder), encoder=net(), classifier=svc, to=folder / "b.vxb")
    assert not list(folder.glob("*b.vxb*"))


def test_a_classifier_other_than_the_exported_one_is_noticed(svc: SVC) -> None:
    x, labels = features()
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        other = SVC(C=3, probability=True, random_state=0).fit(x, labels)
    head = head_graph(MedianHead(classifier=svc, draw_size=10))
    draws = np.random.default_rng(0).integers(0, 30, (50, 10))
    with pytest.raises(ParityError, match="decisions is the first tensor that diverges"):
        classifier_parity.classifier_parity(head, x, draws, other)


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ({"classifier": "absent.skops"}, InputError, "classifier .* was not found"),
        ({"classifier": "pn.pkl"}, InputError, r"import skops.io.*skops.io.dump\(classifier"),
        ({"classifier": "gaussian.skops"}, InputError, "GaussianNB is not supported"),
        ({"classifier": None}, UsageError, "names no classifier"),
        ({"parity_cells": "absent"}, InputError, "absent was not found"),
        ({"parity_cells": "one"}, InputError, "1 distinct cells; comparing needs at least two"),
        ({"canvas_px": 8}, InputError, "parity cell 0.png: the cell is 12 x 10 px"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    model: dict[str, Any], kind: type[Exception], message: str, folder: Path, svc: SVC
) -> None:
    (folder / "pn.pkl").write_bytes(pickle.dumps(svc))
    skops.io.dump(GaussianNB().fit(*features()), folder / "gaussian.skops")
    (folder / "one").mkdir()
    (folder / "one" / "a.png").write_bytes((folder / "cells" / "0.png").read_bytes())
    chosen = {"classifier": "pn.skops", **model}
    for key in ("classifier", "parity_cells"):
        if chosen.get(key):
            chosen[key] = str(folder / chosen[key])
    with pytest.raises(kind, match=message):
        export.write_bundle(fields(folder, **chosen), encoder=net(), to=folder / "b.vxb")
    assert not list(folder.glob("*b.vxb*"))


def test_parity_cells_with_the_same_pixels_count_once(folder: Path, svc: SVC) -> None:
    Image.open(folder / "cells" / "0.png").save(folder / "cells" / "0b.bmp")
    manifest = export.write_bundle(
        fields(folder), encoder=net(), classifier=svc, to=folder / "b.vxb"
    )
    assert manifest.models["monocyte"].files["fused.fp32.onnx"].measured["cells"] == 6


def test_a_skops_file_with_types_that_could_run_code_is_refused(folder: Path) -> None:
    skops.io.dump({"classifier": np.polynomial.Polynomial([1.0])}, folder / "odd.skops")
    with pytest.raises(InputError, match="types that are not trusted: numpy"):
        load_classifier(folder / "odd.skops")


def test_a_bundle_that_cannot_be_written_says_where(folder: Path, svc: SVC) -> None:
    target = folder / "cells" / "0.png" / "b.vxb"
    with pytest.raises(HostError, match="b.vxb cannot be written"):
        export.write_bundle(fields(folder), encoder=net(), classifier=svc, to=target)


def test_an_export_that_does_not_read_back_leaves_the_old_bundle(
    folder: Path, svc: SVC, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = folder / "old.vxb"
    to.write_bytes(b"the old bundle")

    def cut(number: int) -> None:
        os.ftruncate(number, 1000)

    monkeypatch.setattr(os, "fsync", cut)
    with pytest.raises(HostError, match="the new one did not read back as it was written"):
        export.write_bundle(fields(folder), encoder=net(), classifier=svc, to=to)
    assert to.read_bytes() == b"the old bundle"
    assert not (folder / "old.vxb.partial").exists()


def test_a_positive_class_that_the_classifier_does_not_know_is_refused(
    folder: Path, svc: SVC
) -> None:
    with pytest.raises(UsageError, match="positive = 'CML' is not one of the classes"):
        export.write_bundle(
            {**fields(folder), "positive": "CML"}, encoder=net(), classifier=svc, to=folder / "b"
        )
