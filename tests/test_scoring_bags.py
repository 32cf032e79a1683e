"""Scoring with a bag: covariates, the cells that weigh and pull, and the interval over cells."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from tiny import library_or_skip, rewritten, there, write_cells
from tiny_bag import BagKind, bag_bundle

from export.bags.aggregation import AggregationOptions
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.models import Weighting
from vexas_edge.choices import EngineName
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import BundleError, HostError, UsageError
from vexas_edge.results.values import ModelScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.figures.bag_interval import bag_interval
from vexas_edge.scoring.figures.interval import sigmoid

WEIGHTINGS: tuple[Weighting, ...] = ("mean", "topk", "topbottom", "learned", "attention")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind = BagKind(weighting=AggregationOptions(method="learned"))
    return bag_bundle(tmp_path_factory.mktemp("bag"), kind)


@pytest.fixture(scope="module")
def smear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smear") / "S1"
    write_cells(folder / "neutrophil", 30, seed=5)
    return folder


def scored(bundle: Path, smear: Path, **given: str | float) -> ModelScore:
    with read_case(smear) as case:
        (model,) = score_case(case, open_bundle(bundle), covariates=given).models
    return model


def test_a_covariate_moves_the_score_and_not_that_of_the_image(bundle: Path, smear: Path) -> None:
    young, old = (scored(bundle, smear, age_years=age) for age in ("40", "80"))
    assert there(young.score) < there(old.score)
    assert young.cells_alone == old.cells_alone
    age, sex = old.covariates
    assert (age.name, age.given, age.value, age.assumed) == ("age_years", "80", 80.0, False)
    assert (sex.name, sex.given, sex.value, sex.assumed) == ("sex", "", None, True)
    assert old.n_draws is None
    assert old.label_shares == {}
    assert sum(old.probabilities.values()) == pytest.approx(1)
    assert old.probabilities["tumoral"] == there(old.score)


@pytest.mark.parametrize(
    ("given", "reason", "said"),
    [
        ({}, "missing_covariate", "age_years (years) is missing"),
        ({"age_years": " "}, "missing_covariate", "age_years (years) is missing"),
        ({"age_years": "756"}, "impossible_covariate", "is it in another unit?"),
        ({"age_years": "0.5"}, "impossible_covariate", "outside 1 to 120 years"),
        ({"age_years": "nan"}, "impossible_covariate", "expected a number from 1 to 120"),
        ({"age_years": "old"}, "impossible_covariate", "expected a number from 1 to 120"),
        ({"age_years": "60", "sex": "X"}, "impossible_covariate", "sex is 'X'; expected F or M"),
    ],
)
def test_what_a_model_must_know_and_does_not_keeps_it_from_answering(
    given: dict[str, str], reason: str, said: str, bundle: Path, smear: Path
) -> None:
    model = scored(bundle, smear, **given)
    assert (model.status, model.score, model.cells_alone) == ("abstained", None, None)
    assert model.reasons == (reason,)
    assert said in model.explanations[0]
    assert model.heaviest == ()
    assert model.pulls is None


def test_what_no_model_takes_is_refused(bundle: Path, smear: Path, tiny_bundle: Path) -> None:
    with pytest.raises(UsageError, match="does not take the covariate age; it takes age_years, se"):
        scored(bundle, smear, age="60")
    with pytest.raises(UsageError, match="does not take the covariate age; it takes none"):
        scored(tiny_bundle, smear, age="60")


def test_a_number_may_be_given_as_one(bundle: Path, smear: Path) -> None:
    as_number = scored(bundle, smear, age_years=60)
    assert as_number == scored(bundle, smear, age_years="60")
    assert scored(bundle, smear, age_years=float("nan")).reasons == ("impossible_covariate",)


def test_a_pull_is_what_the_score_loses_without_the_cell(
    bundle: Path, smear: Path, tmp_path: Path
) -> None:
    whole = scored(bundle, smear, age_years="60")
    for pull in (there(whole.pulls).up[0], there(whole.pulls).down[0]):
        (gone,) = [cell.path for cell in whole.cells if cell.identity == pull.identity]
        folder = tmp_path / pull.identity[:8] / "neutrophil"
        folder.mkdir(parents=True)
        for file in (smear / "neutrophil").iterdir():
            if file.name != Path(gone).name:
                (folder / file.name).write_bytes(file.read_bytes())
        without = scored(bundle, folder.parent, age_years="60")
        assert there(whole.score) - there(without.score) == pytest.approx(pull.change, abs=1e-6)


def test_the_heaviest_cells_come_first(bundle: Path, smear: Path) -> None:
    weights = [cell.weight for cell in scored(bundle, smear, age_years="60").heaviest]
    assert len(weights) == 6
    assert weights == sorted(weights, reverse=True)
    assert weights[0] > 1 / 30


def test_an_engine_that_fills_calls_up_gives_the_same_score(bundle: Path, smear: Path) -> None:
    """OpenVINO adds rows of zeros, which are cells in no bag."""
    library_or_skip("openvino")
    opened, found = open_bundle(bundle), {}
    engines: tuple[EngineName, ...] = ("onnxruntime", "openvino")
    for engine in engines:
        options = EngineOptions(engine=engine, threads=2)
        with Sessions(opened, options) as sessions, read_case(smear) as case:
            (model,) = score_case(
                case, opened, sessions, covariates={"age_years": "60"}, chunk_cells=7
            ).models
        found[engine] = model.score
    assert found["openvino"] == pytest.approx(found["onnxruntime"], abs=1e-5)


def test_a_fused_graph_of_another_bag_is_caught_by_the_cross_check(
    bundle: Path, smear: Path, tmp_path: Path
) -> None:
    other = bag_bundle(
        tmp_path / "other", BagKind(weighting=AggregationOptions(method="topk", k=2))
    )
    name = "models/neutrophil/fused.fp32.onnx"
    graph = open_bundle(other).model_file("neutrophil", "fused.fp32.onnx")
    mixed = rewritten(bundle, tmp_path / "mixed.vxb", files={name: graph})
    with pytest.raises(HostError, match="the fused graph's score differs from the head's by"):
        scored(mixed, smear, age_years="60")


# The interval


def weights_of(logits: NDArray[np.float64], weighting: Weighting) -> NDArray[np.float64]:
    """What the aggregations would give these cells."""
    n, k = len(logits), min(10, len(logits))
    if weighting == "mean":
        return np.full(n, 1 / n)
    if weighting in ("learned", "attention"):
        marks = (
            -np.log1p(np.exp(-logits / 2)) if weighting == "learned" else 1.5 * np.sin(3 * logits)
        )
        return np.exp(marks) / np.exp(marks).sum()
    order, weights = np.argsort(logits), np.zeros(n)
    sides = [order[-k:], order[:k]][: 1 if weighting == "topk" else 2]
    for side in sides:
        weights[side] += 1 / (k * len(sides))
    return weights


# Of a smear: the share of cells of a second kind, how their logits lie, and how others do.
SMEARS = {
    "of one kind": (0.0, 0.0, 1.5),
    "of two kinds": (0.3, 3.0, 0.3),
    "of a rare kind": (0.05, 6.0, 0.3),
    "of a rare and very sure kind": (0.05, 12.0, 0.3),
}

# Of a smear: the least share of intervals that hold the score of as many other cells.
LEAST_SHARES = {
    "of one kind": 0.9,
    "of two kinds": 0.89,
    "of a rare kind": 0.85,
    "of a rare and very sure kind": 0.83,
}


def cells_of(kind: str, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    share, high, spread = SMEARS[kind]
    second = rng.random(n) < share
    return rng.normal() + np.where(second, high, -0.5) + rng.normal(0, spread, n)


@pytest.mark.parametrize("n", [3, 7, 10, 15, 25, 40, 200, 1000])
@pytest.mark.parametrize("kind", SMEARS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_as_many_other_cells_of_the_smear_give_a_score_in_the_interval(
    weighting: Weighting, kind: str, n: int
) -> None:
    rng, hits, n_smears = np.random.default_rng([n, 11]), 0, 1000
    for _ in range(n_smears):
        own, others = np.split(cells_of(kind, 2 * n, rng), 2)
        low, high = bag_interval(own, weights_of(own, weighting), weighting)
        hits += low <= sigmoid(float(weights_of(others, weighting) @ others)) <= high
    assert hits / n_smears >= LEAST_SHARES[kind]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_interval_holds_the_score_and_narrows_with_more_cells(weighting: Weighting) -> None:
    rng, widths = np.random.default_rng(1), []
    for n in (1, 5, 40, 1000):
        found = []
        for _ in range(20):
            logits = rng.normal(0, 1.5, n)
            weights = weights_of(logits, weighting)
            low, high = bag_interval(logits, weights, weighting)
            assert 0 <= low <= sigmoid(float(weights @ logits)) <= high <= 1
            found.append(high - low)
        widths.append(float(np.median(found)))
    assert widths[0] > 0.95
    assert widths[3] < widths[2] / 1.5 < widths[2] < widths[1] <= widths[0]


@pytest.mark.parametrize("k", [1, 2, 4, 10])
def test_the_highest_of_many_cells_that_agree_are_sure(k: int) -> None:
    logits = np.random.default_rng(2).normal(4, 0.01, 1000)
    weights = np.zeros(1000)
    weights[np.argsort(logits)[-k:]] = 1 / k
    low, high = bag_interval(logits, weights, "topk")
    assert high - low < 0.01


def test_an_interval_needs_a_weight_for_each_cell() -> None:
    with pytest.raises(ValueError, match="expected one each"):
        bag_interval(np.zeros(3), np.ones(2), "mean")
    with pytest.raises(ValueError, match="expected one each"):
        bag_interval(np.zeros(0), np.zeros(0), "mean")


def test_logits_of_any_size_have_a_probability() -> None:
    assert (sigmoid(800.0), sigmoid(-800.0), sigmoid(0.0)) == (1.0, 0.0, 0.5)
    assert math.isclose(sigmoid(-3.0), 1 - sigmoid(3.0))


@pytest.mark.parametrize(
    ("output", "factor"),
    [
        ("cell_weights", -1.0),
        ("cell_weights", 0.0),
        ("cell_weights", float("nan")),
        ("cell_logits", -1.0),
        ("cell_logits", float("inf")),
        ("image_probabilities", float("nan")),
    ],
)
def test_a_head_that_contradicts_itself_gives_no_score(
    output: str, factor: float, bundle: Path, smear: Path, tmp_path: Path
) -> None:
    head = onnx.load_from_string(open_bundle(bundle).model_file("neutrophil", "head.onnx"))
    (node,) = (node for node in head.graph.node if output in node.output)
    node.output[0] = "before"
    constant = numpy_helper.from_array(np.array(factor, np.float32), "factor")
    head.graph.initializer.append(constant)
    head.graph.node.append(helper.make_node("Mul", ["before", "factor"], [output]))
    files = {"models/neutrophil/head.onnx": head.SerializeToString()}
    edited = rewritten(bundle, tmp_path / "edited.vxb", files=files)
    with pytest.raises(BundleError, match="head.onnx contradicts itself"):
        scored(edited, smear, age_years="60")


def test_cells_that_weigh_nothing_are_not_among_the_heaviest(smear: Path, tmp_path: Path) -> None:
    highest = AggregationOptions(method="topk", k=3)
    bundle = bag_bundle(tmp_path, BagKind(weighting=highest))
    heaviest = scored(bundle, smear, age_years="60").heaviest
    assert [cell.weight for cell in heaviest] == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("n", [1, 2])
def test_one_cell_or_two_have_a_score_and_a_wide_interval(
    weighting: Weighting, n: int, smear: Path, tmp_path: Path
) -> None:
    bundle = bag_bundle(tmp_path, BagKind(weighting=AggregationOptions(method=weighting)))
    few = tmp_path / "few" / "neutrophil"
    few.mkdir(parents=True)
    for file in sorted((smear / "neutrophil").iterdir())[:n]:
        (few / file.name).write_bytes(file.read_bytes())
    model = scored(bundle, few.parent, age_years="60")
    assert there(model.interval_low) <= there(model.score) <= there(model.interval_high)
    assert there(model.interval_high) - there(model.interval_low) > 0.9
    assert n > 1 or there(model.pulls).up == there(model.pulls).down == ()
