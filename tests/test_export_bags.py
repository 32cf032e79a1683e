"""Bundles of bags: the graphs give what torch gives, whatever the number and order of the cells."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.special import expit
from tiny import write_case, write_cells
from tiny_bag import AGE, CANVAS_PX, SEX, BagKind, bag_bundle, bag_spec, tiny_bag

from export import write_bundle
from export.bags.aggregation import AggregationOptions
from export.bags.bag_file import TrainedBag, load_bag
from export.bags.bag_head import BagHead
from export.bags.network import BagNetwork
from export.comparing import ParityError
from export.execution import run_graph
from export.fuse import head_graph
from export.inputs import load_cells
from export.preprocessing import pixels_from_cells, preprocessing_named
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.cells.canvas import Canvas
from vexas_edge.errors import InputError, UsageError

KINDS = {
    "mean": AggregationOptions(),
    "topk": AggregationOptions(method="topk", k=10),
    "topk of a share": AggregationOptions(method="topk", k=2, share=0.3),
    "topbottom": AggregationOptions(method="topbottom", k=4),
    "learned": AggregationOptions(method="learned"),
    "learned positions": AggregationOptions(method="learned", level="position"),
    "attention": AggregationOptions(method="attention", hidden=5),
}
SIZES = (1, 3, 40, 1000)


def encodings_of(bag: TrainedBag, n: int) -> torch.Tensor:
    """Random encodings, spread about what the bag's standardising expects."""
    rng = torch.Generator().manual_seed(n)
    network = bag.layers
    features = network.mean + network.spread * torch.randn(n, len(network.mean), generator=rng)
    if bag.facts.aggregation.level == "cell":
        return features
    return torch.cat([features, 2 + torch.rand(n, 1, generator=rng)], 1)


@pytest.mark.parametrize("in_network", [False, True])
@pytest.mark.parametrize("encoding", ["l2", "raw"])
@pytest.mark.parametrize("name", KINDS)
def test_the_head_gives_what_the_network_gives(
    name: str, encoding: str, in_network: bool, tmp_path: Path
) -> None:
    kind = BagKind(weighting=KINDS[name], encoding=encoding, in_network=in_network)
    bag = tiny_bag(tmp_path / "bag.safetensors", kind)
    graph, facts = head_graph(BagHead(bag=bag)), bag.facts
    known = np.array([[0.7, -1.2]], np.float32)
    for n in SIZES:
        encodings = encodings_of(bag, n)
        with torch.inference_mode():
            logit = bag.layers.of_encodings(encodings, [n]).bags
            if in_network:
                logit = logit + torch.from_numpy(known) @ bag.layers.covariates
        image = (float(logit) - facts.middle) / facts.spread
        first, *others = facts.final.weights
        total = first * image + float(known[0] @ np.array(others or [0, 0])) + facts.final.bias
        found = run_graph(graph, {"encodings": encodings.numpy(), "covariates": known})
        assert found["probabilities"] == pytest.approx(
            np.array([[1 - expit(total), expit(total)]]), abs=1e-5
        )
        assert found["decisions"].item() == pytest.approx(total, abs=1e-4)
        assert found["cell_weights"].sum() == pytest.approx(1, abs=1e-5)
        weighted = float(found["cell_weights"][:, 0] @ found["cell_logits"][:, 0])
        assert weighted == pytest.approx(total, abs=1e-4)
        assert found["cell_logits"].shape == found["cell_weights"].shape == (n, 1)
        if facts.image is not None:
            alone = facts.image.weights[0] * image + facts.image.bias
            assert found["image_probabilities"][0, 1] == pytest.approx(expit(alone), abs=1e-5)
        else:
            assert "image_probabilities" not in found


@pytest.mark.parametrize("name", KINDS)
def test_a_bundle_gives_what_the_network_gives_from_the_images(name: str, tmp_path: Path) -> None:
    kind = BagKind(weighting=KINDS[name], covariates=())
    bundle = bag_bundle(tmp_path, kind)
    write_cells(tmp_path / "S1" / "neutrophil", 40, seed=5)
    bag = load_bag(tmp_path / "bags.safetensors")
    cells = load_cells(tmp_path / "S1", Canvas(canvas_px=CANVAS_PX, larger="crop"))
    pixels = pixels_from_cells(cells, preprocessing_named("torchvision"))
    with torch.inference_mode():
        network = bag.layers
        assert isinstance(network, BagNetwork)
        features = network.features(torch.from_numpy(pixels))
        logit = float(network.answers(features, [len(cells)]).bags)
    regression = bag.facts.final
    image = (logit - bag.facts.middle) / bag.facts.spread
    with read_case(tmp_path / "S1") as case:
        result = score_case(case, open_bundle(bundle))
    assert result.status == "scored"
    expected = expit(regression.weights[0] * image + regression.bias)
    assert result.models[0].score == pytest.approx(expected, abs=1e-5)
    assert result.models[0].cells_alone is None


@pytest.mark.parametrize("name", KINDS)
def test_any_order_of_files_and_any_chunk_is_one_score(name: str, tmp_path: Path) -> None:
    bundle = open_bundle(bag_bundle(tmp_path, BagKind(weighting=KINDS[name], covariates=())))
    files = write_cells(tmp_path / "S1" / "neutrophil", 40, seed=5)
    (tmp_path / "S2" / "neutrophil").mkdir(parents=True)
    for number, file in enumerate(reversed(files)):
        shutil.copy(file, tmp_path / "S2" / "neutrophil" / f"{number}.png")
    found = []
    for case_name, chunk in (("S1", None), ("S2", None), ("S1", 1), ("S2", 7), ("S1", 40)):
        with read_case(tmp_path / case_name) as case:
            model = score_case(case, bundle, chunk_cells=chunk).models[0]
        found.append(replace(model, cells=()))
    assert all(model == found[0] for model in found)


def test_a_case_without_a_cell_of_the_model_abstains(tmp_path: Path) -> None:
    bundle = open_bundle(bag_bundle(tmp_path, BagKind()))
    with read_case(write_case(tmp_path / "S1", monocyte=3)) as case:
        result = score_case(case, bundle, covariates={"age_years": "70"})
    assert (result.status, result.models[0].reasons) == ("abstained", ("too_few_cells",))
    assert result.models[0].score is None


def test_the_manifest_says_what_the_model_takes(tmp_path: Path) -> None:
    manifest = open_bundle(bag_bundle(tmp_path, BagKind(weighting=KINDS["topk"]))).manifest
    model = manifest.models["neutrophil"]
    assert model.covariates == (AGE, SEX)
    assert (model.classes, model.threshold) == (("reactive", "tumoral"), 0.55)
    assert (model.images.larger, model.images.canvas_px, model.encoding) == (
        "crop",
        CANVAS_PX,
        "l2",
    )
    raw = json.loads((open_bundle(tmp_path / "bag.vxb"))._read("manifest.json", 1 << 20))
    assert raw["models"]["neutrophil"]["aggregation"] == {
        "method": "bag",
        "weighting": "topk",
        "level": "cell",
        "image_alone": True,
    }


def test_the_same_bag_gives_the_same_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    first, second = (bag_bundle(tmp_path / name, BagKind()).read_bytes() for name in "ab")
    assert first == second


def test_a_head_of_another_bag_is_noticed(tmp_path: Path) -> None:
    bag = tiny_bag(tmp_path / "a", BagKind(weighting=KINDS["learned"]))
    other = tiny_bag(tmp_path / "b", BagKind(weighting=KINDS["learned"]))
    with torch.no_grad():
        other.layers.classify.weight *= 1.01
    head, encodings = BagHead(bag=bag), encodings_of(bag, 8).numpy()
    feeds = head.feeds(np.zeros((8, 4, 4, 3), np.uint8))
    with pytest.raises(ParityError, match="cell_logits is the first tensor that diverges"):
        head.check(head_graph(BagHead(bag=other)), encodings, feeds)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"threshold": 0.3}, "it names a bag, whose file says threshold itself"),
        ({"classifier": "pn.skops", "canvas_px": 16}, "says classifier, canvas_px itself"),
    ],
)
def test_a_spec_does_not_say_what_the_bag_says(
    more: dict[str, object], said: str, tmp_path: Path
) -> None:
    tiny_bag(tmp_path / "bags.safetensors", BagKind())
    spec = bag_spec(tmp_path)
    spec["models"]["neutrophil"].update(more)
    with pytest.raises(UsageError, match=said):
        write_bundle(spec, to=tmp_path / "bag.vxb")


def test_another_positive_class_than_the_bags_is_refused(tmp_path: Path) -> None:
    tiny_bag(tmp_path / "bags.safetensors", BagKind())
    with pytest.raises(UsageError, match="not one of the classes of model 'neutrophil', reactive"):
        write_bundle({**bag_spec(tmp_path), "positive": "VEXAS"}, to=tmp_path / "bag.vxb")
    with pytest.raises(UsageError, match="is a bag that looks for 'tumoral'"):
        write_bundle({**bag_spec(tmp_path), "positive": "reactive"}, to=tmp_path / "bag.vxb")


def damaged(path: Path, kind: str) -> None:
    """Make a bag's file another one."""
    if kind == "cut off":
        path.write_bytes(path.read_bytes()[:-9])
        return
    with safe_open(path, framework="pt") as opened:
        facts, tensors = (
            json.loads(opened.metadata()["bag"]),
            {name: opened.get_tensor(name) for name in opened.keys()},  # noqa: SIM118
        )
    if kind == "not finite":
        tensors["head.classify.bias"][:] = float("nan")
    if kind == "a tensor less":
        del tensors["head.classify.weight"]
    if kind == "another width":
        tensors["head.mean"] = tensors["head.mean"][:-1]
    if kind == "a weight less":
        facts["both"]["weights"].pop()
    if kind == "one class":
        facts["others"] = facts["positive"]
    if kind == "k of 0":
        facts["aggregation"]["k"] = 0
    if kind == "an unknown field":
        facts["colour"] = "red"
    metadata = {} if kind == "no facts" else {"bag": json.dumps(facts)}
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    "kind",
    [
        *("cut off", "not finite", "a tensor less", "another width", "a weight less", "one class"),
        *("k of 0", "an unknown field", "no facts"),
    ],
)
def test_a_file_that_is_no_whole_bag_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bags.safetensors"
    tiny_bag(path, BagKind())
    damaged(path, kind)
    with pytest.raises(
        InputError, match="is no file of `vexas-workshop train bags` or `train expression`"
    ):
        load_bag(path)
