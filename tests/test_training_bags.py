"""Learning from bags: five aggregations, what is kept and what is trained, and interruptions."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import there
from torch import Tensor, nn
from training_command import Training
from training_command import training as training

from export import write_bundle
from export.backbones import build_backbone, load_weights
from export.backbones.halves import cut_backbone
from export.bags.aggregation import Aggregation, AggregationOptions
from export.bags.bag_file import load_bag
from export.bags.network import BagNetwork
from export.preprocessing import preprocessing_named
from training.bags import learning as learning_module
from training.bags.bags import Bags, bags_of
from training.bags.inputs import N_VIEWS, viewed
from training.bags.learning import BagLearning, TaughtBags
from training.bags.trainer import BagOptions, BagTraining, kept_inputs
from training.judging.stacking import AskedCovariate
from training.pretraining.cell_stack import CellStack
from training.pretraining.pixels import encode_pixels
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.models import Weighting
from vexas_edge.errors import InputError, UsageError
from vexas_edge.smear.cohort import CohortCase, read_cohort

PX = 32
METHODS: tuple[Weighting, ...] = ("mean", "topk", "topbottom", "learned", "attention")


@pytest.fixture
def start(tmp_path: Path) -> str:
    torch.manual_seed(0)
    backbone = build_backbone("compact")
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
    save_file(backbone.state_dict(), tmp_path / "start.safetensors")
    return str(tmp_path / "start.safetensors")


def some_bags(n_patients: int = 12, sizes: tuple[int, ...] = (3, 5)) -> Bags:
    """Patients of two groups; a third of the cells of the sick ones are bright."""
    rng = np.random.default_rng(0)
    pixels, owners = [], []
    for patient in range(n_patients):
        for cell in range(sizes[patient % len(sizes)]):
            bright = 90 * (patient % 2 == 1 and cell % 3 == 0)
            pixels.append(np.clip(rng.normal(100 + bright, 20, (PX, PX, 3)), 0, 255))
            owners.append(f"P{patient}")
    n = len(pixels)
    stack = CellStack(
        pixels=torch.from_numpy(np.stack(pixels).astype(np.uint8)),
        sizes=torch.full((n, 2), PX),
        patients=tuple(owners),
        samples=tuple(owners),
        labels=("",) * n,
        identities=tuple(rng.bytes(32) for _ in range(n)),
    )
    return bags_of(stack, cohort(n_patients))


def cohort(n_patients: int) -> list[CohortCase]:
    return [
        CohortCase(
            patient=f"P{i}",
            sample=f"P{i}",
            path=Path(f"P{i}"),
            label=("well", "sick")[i % 2],
            split="fit",
            covariates={"age": str(50 + i)},
        )
        for i in range(n_patients)
    ]


def options(weights: str, **changed: object) -> BagOptions:
    fast = BagOptions(
        backbone="compact",
        preprocessing="torchvision",
        start=weights,
        rate=1e-2,
        epochs=3,
        patients=4,
    )
    return replace(fast, **changed)  # type: ignore[arg-type]


def learning(bags: Bags, asked: BagOptions, folder: Path) -> BagLearning:
    folder.mkdir(exist_ok=True)
    return BagLearning(
        bags=bags,
        positive="sick",
        options=asked,
        inputs=kept_inputs(asked, bags),
        asked=(),
        folder=folder,
        say=lambda _: None,
    )


@pytest.mark.parametrize("n", [1, 3, 40, 1000])
@pytest.mark.parametrize("method", METHODS)
def test_a_patients_logit_is_the_weighted_mean_of_its_cells(method: Weighting, n: int) -> None:
    torch.manual_seed(0)
    asked = AggregationOptions(method=method, k=10, share=0.02)
    part = Aggregation(asked, 6).eval()
    features, logits = torch.randn(n, 6), torch.randn(n)
    with torch.inference_mode():
        weights = part.weights(part.marks(features, logits)).double().numpy()
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert (weights >= 0).all()
    values = logits.double().numpy()
    assert weights @ values == pytest.approx(expected(part, features, values), abs=1e-5)


def expected(part: Aggregation, features: Tensor, logits: np.ndarray) -> float:
    """The aggregation as its definition says, in NumPy and float64."""
    n, ordered = len(logits), np.sort(logits)[::-1]
    k = min(n, max(10, int(np.ceil(0.02 * n))))
    if part.options.method == "topk":
        return float(ordered[:k].mean())
    if part.options.method == "topbottom":
        return float((ordered[:k].mean() + ordered[-k:].mean()) / 2)
    if part.options.method == "learned":
        normalised = logits / np.sqrt(1 + part.norm.eps)
        weights = 1 / (1 + np.exp(-normalised))
        return float((weights * logits).sum() / weights.sum())
    if part.options.method == "attention":
        with torch.inference_mode():
            double, wide = part.double(), features.double()
            gated = double.value(wide).tanh() * double.gate(wide).sigmoid()
            scores = double.score(gated)[:, 0].numpy()
        weights = np.exp(scores - scores.max())
        return float((weights * logits).sum() / weights.sum())
    return float(logits.mean())


def test_positions_weigh_as_if_each_were_a_cell() -> None:
    torch.manual_seed(0)
    asked = AggregationOptions(method="learned", level="position")
    backbone = build_backbone("compact").eval()
    network = BagNetwork(backbone, nn.Sequential(), asked, "raw", 0).eval()
    nn.init.normal_(network.classify.weight)
    features = torch.randn(5, 128, 7)
    with torch.inference_mode():
        found = network.answers(features, [2, 3])
        logits = features.movedim(1, 2) @ network.classify.weight[0]
        weights = (logits / (1 + network.aggregation.norm.eps) ** 0.5).sigmoid()
        for rows, bag in zip((slice(0, 2), slice(2, 5)), found.bags, strict=True):
            direct = (weights[rows] * logits[rows]).sum() / weights[rows].sum()
            assert float(bag) == pytest.approx(float(direct), abs=1e-5)
            assert float(found.weights[rows].sum()) == pytest.approx(1, abs=1e-5)


def test_a_patients_cells_lie_in_the_order_of_identities_however_they_came() -> None:
    bags = some_bags()
    turned = list(range(len(bags.cells)))[::-1]
    cells = bags.cells
    names = ("patients", "samples", "labels", "identities")
    backwards = replace(
        cells,
        pixels=cells.pixels[turned],
        sizes=cells.sizes[turned],
        **{name: tuple(getattr(cells, name)[i] for i in turned) for name in names},
    )
    again = bags_of(backwards, cohort(12))
    assert again.cells.identities == cells.identities
    assert torch.equal(again.cells.pixels, cells.pixels)
    for patient in range(12):
        rows = bags.rows(patient).tolist()
        own = [cells.identities[row] for row in rows]
        assert own == sorted(own)
        assert {cells.patients[row] for row in rows} == {f"P{patient}"}


def test_patients_of_too_few_cells_are_left_out_and_without_any_it_is_an_error() -> None:
    bags = some_bags()
    assert bags_of(bags.cells, cohort(12), 4).patients == tuple(f"P{i}" for i in range(1, 12, 2))
    with pytest.raises(InputError, match="none of the 12 patients has the 6 cells needed"):
        bags_of(bags.cells, cohort(12), 6)


def test_a_square_has_eight_views_of_which_the_first_is_itself() -> None:
    cell = torch.arange(27).view(3, 3, 3)
    views = [viewed(cell, number) for number in range(8)]
    assert torch.equal(views[0], cell)
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8
    assert N_VIEWS == {"none": 1, "flips": 4, "turns": 8}


@pytest.mark.parametrize("train", ["head", "last", "all"])
def test_features_are_those_of_the_whole_encoder_wherever_it_is_cut(train: str, start: str) -> None:
    bags = some_bags()
    asked = options(start, train=train, last=2)
    inputs = kept_inputs(asked, bags)
    rows = torch.arange(len(bags.cells))
    run = BagTraining(asked, inputs, bags, np.array([False, True] * 6), np.arange(12))
    backbone = build_from(start)
    wanted = encode_pixels(backbone, bags.cells.pixels, preprocessing_named("torchvision"))
    with torch.inference_mode():
        found = run.network.eval().features(inputs.of(rows, torch.zeros_like(rows)))
    assert torch.allclose(found, wanted, atol=1e-5)


def test_a_cut_that_the_encoder_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="the last 99 stages are to be trained; the encoder has"):
        cut_backbone(build_backbone("compact"), "last", 99)
    assert len(cut_backbone(build_backbone("compact"), "head", 99).late) == 0


def test_cells_beyond_those_that_learn_are_looked_at_alone(start: str) -> None:
    bags = some_bags(sizes=(5,))
    asked = options(start, train="all", gradient_cells=2, views="none")
    truth = np.array([False, True] * 6)
    run = BagTraining(asked, kept_inputs(asked, bags), bags, truth, np.arange(4))
    run.network.eval()
    rows = bags.rows(0)
    features = run._features(rows)
    with torch.inference_mode():
        wanted = run.network.features(run._inputs.of(rows, torch.zeros_like(rows)))
    assert torch.allclose(features, wanted, atol=1e-6)
    learns = [features[row].sum() for row in range(5)]
    moved = [torch.autograd.grad(one, features, retain_graph=True)[0] for one in learns]
    assert len(moved) == 5
    leaf = next(run.network.late.parameters())
    reached = [
        torch.autograd.grad(one, leaf, retain_graph=True)[0].abs().sum() > 0 for one in learns
    ]
    assert sum(map(bool, reached)) == 2


@pytest.mark.parametrize("train", ["head", "all"])
def test_bags_are_learnt_and_batch_statistics_stay(train: str, start: str, tmp_path: Path) -> None:
    bags = some_bags(24)
    aggregation = AggregationOptions(method="learned")
    rate = 1e-2 if train == "head" else 1e-3
    asked = options(start, train=train, rate=rate, epochs=6, aggregation=aggregation)
    taught = learning(bags, asked, tmp_path / "runs")(np.arange(16))
    assert isinstance(taught, TaughtBags)
    truth = np.array([False, True] * 8)
    assert taught.out_of_fold[truth].mean() > taught.out_of_fold[~truth].mean()
    new = taught.score(np.arange(16, 24))
    assert min(new[1::2]) > max(new[::2])
    before = dict(buffers(build_from(start)))
    late = dict(taught.training.network.late.named_buffers())
    kept = [name for name in late if name.endswith(("running_mean", "running_var"))]
    assert len(kept) == (0 if train == "head" else 34)
    values = sorted(tensor.tolist() for name, tensor in late.items() if name in kept)
    if train == "all":
        assert values == sorted(tensor.tolist() for tensor in before.values())


def build_from(start: str) -> nn.Module:
    backbone = build_backbone("compact")
    load_weights(backbone, start)
    return backbone


def buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in module.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            yield name, tensor


def test_an_interrupted_run_ends_with_the_same_logits_and_does_nothing_twice(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bags, fit = some_bags(), np.arange(8)
    asked = options(start, train="last", last=1)
    whole = learning(bags, asked, tmp_path / "whole")(fit)
    monkeypatch.setattr(learning_module, "_SECONDS_BETWEEN_CHECKPOINTS", -1)
    epochs: list[int] = []
    real = BagTraining.epoch

    def counted(run: BagTraining) -> None:
        if len(epochs) == 7:
            epochs.append(-1)
            raise KeyboardInterrupt
        epochs.append(1)
        real(run)

    monkeypatch.setattr(BagTraining, "epoch", counted)
    with pytest.raises(KeyboardInterrupt):
        learning(bags, asked, tmp_path / "cut")(fit)
    resumed = learning(bags, asked, tmp_path / "cut")(fit)
    assert np.array_equal(resumed.out_of_fold, whole.out_of_fold)
    assert np.array_equal(resumed.score(np.arange(8, 12)), whole.score(np.arange(8, 12)))
    done = epochs.count(1)
    assert done == 4 * 3 + len(whole.training.history)
    learning(bags, asked, tmp_path / "cut")(fit)
    assert epochs.count(1) == done


def test_other_options_do_not_go_on_from_these(start: str, tmp_path: Path) -> None:
    bags, fit = some_bags(), np.arange(8)
    learning(bags, options(start), tmp_path / "runs")(fit)
    n_files = len(list((tmp_path / "runs").iterdir()))
    learning(bags, options(start, seed=1), tmp_path / "runs")(fit)
    assert len(list((tmp_path / "runs").iterdir())) == 2 * n_files


def test_other_labels_and_other_values_of_covariates_do_not_go_on_from_these(
    start: str, tmp_path: Path
) -> None:
    bags, fit = some_bags(), np.arange(8)
    asked = options(start, joined="head")
    age = (AskedCovariate(name="age"),)
    first = replace(learning(bags, asked, tmp_path / "runs"), asked=age)
    first(fit)
    n_files = len(list((tmp_path / "runs").iterdir()))
    turned = tuple({"age": str(90 - i % 5)} for i in range(12))
    replace(first, bags=replace(bags, covariates=turned))(fit)
    assert len(list((tmp_path / "runs").iterdir())) == 2 * n_files
    swapped = tuple("well" if group == "sick" else "sick" for group in bags.groups)
    replace(first, bags=replace(bags, groups=swapped))(fit)
    assert len(list((tmp_path / "runs").iterdir())) == 3 * n_files


def test_what_is_learnt_depends_on_the_patients_to_fit_on_alone(start: str, tmp_path: Path) -> None:
    bags, fit = some_bags(), np.arange(8)
    asked = options(start, train="last", last=1)
    before = learning(bags, asked, tmp_path / "before")(fit)
    pixels = bags.cells.pixels.clone()
    pixels[bags.starts[8] :] = 255 - pixels[bags.starts[8] :]
    others = replace(
        bags,
        cells=replace(bags.cells, pixels=pixels),
        groups=(*bags.groups[:8], "sick", "sick", "well", "sick"),
    )
    after = learning(others, asked, tmp_path / "after")(fit)
    assert np.array_equal(after.out_of_fold, before.out_of_fold)
    assert after.epochs == before.epochs
    one, other = (taught.training.network.state_dict() for taught in (before, after))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_patient_of_one_cell_is_a_bag_too(start: str, tmp_path: Path) -> None:
    bags = some_bags(12, sizes=(1,))
    aggregation = AggregationOptions(method="learned")
    asked = options(start, patients=1, aggregation=aggregation)
    taught = learning(bags, asked, tmp_path / "runs")(np.arange(8))
    assert np.isfinite(taught.score(np.arange(12))).all()


def test_positions_are_learnt(start: str, tmp_path: Path) -> None:
    aggregation = AggregationOptions(method="learned", level="position")
    asked = options(start, train="last", last=1, encoding="raw", aggregation=aggregation, epochs=6)
    taught = learning(some_bags(24), asked, tmp_path / "runs")(np.arange(16))
    new = taught.score(np.arange(16, 24))
    assert new[1::2].mean() > new[::2].mean()


def test_an_encoder_without_a_start_is_trained_whole(tmp_path: Path, start: str) -> None:
    asked = replace(options(start, train="all", rate=1e-3), start=None)
    taught = learning(some_bags(), asked, tmp_path / "runs")(np.arange(8))
    assert np.isfinite(taught.out_of_fold).all()


def test_cells_that_two_patients_have_are_refused(
    training: Training, start: str, tmp_path: Path
) -> None:
    drawn = ("--patients", "4", "--neutrophil", "2", "--monocyte", "0", "--lymphocyte", "0")
    assert training("synth", "-o", tmp_path / "cohort", *drawn).status == 0
    one, other = sorted(path for path in (tmp_path / "cohort").iterdir() if path.is_dir())[:2]
    shutil.rmtree(other)
    shutil.copytree(one, other)
    ended = training(
        *("bags", tmp_path / "cohort" / "cohort.csv", "--cells", "neutrophil_segmented"),
        *("--positive", "vexas", "--backbone", "compact", "--preprocessing", "torchvision"),
        *("--canvas-px", "64", "--start", start, "-o", tmp_path / "bags"),
    )
    assert ended.status == InputError.exit_status
    assert "the same cell belongs to two patients" in ended.err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rate": 0.0}, "rate is 0.0"),
        ({"gradient_cells": 0}, "gradient_cells is 0; all must be above 0"),
        ({"encoder_rate": 0.0}, "encoder_rate is 0.0"),
        ({"start": None}, "train is 'head', which leaves some of the encoder as it starts"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    changed: dict[str, object], said: str, start: str
) -> None:
    with pytest.raises(UsageError, match=said):
        options(start, **changed)


def test_aggregations_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="only 'learned' can weigh positions, not 'mean'"):
        AggregationOptions(level="position")
    with pytest.raises(UsageError, match="expected k and hidden of at least 1"):
        AggregationOptions(k=0)


def check_model(file: Path, start: str) -> None:
    bag = load_bag(file)
    facts = bag.facts
    assert (facts.positive, facts.others, facts.images.canvas_px) == ("vexas", "control", 64)
    assert 1 <= facts.training["epochs"] <= 2
    assert [len(one.weights) for one in (there(facts.image), there(facts.both))] == [1, 2]
    (age,) = facts.covariates
    assert (age.name, age.unit, age.missing) == ("age_years", "years", "abstain")
    for name, tensor in build_from(start).state_dict().items():
        assert torch.equal(bag.encoder.state_dict()[name], tensor)
    assert bag.layers.classify.weight.shape == (1, 128)


def check_bundle(file: Path, cohort_file: Path) -> None:
    """The model makes a bundle, which gives a patient the logit that the network gives."""
    spec = {"cells": ["neutrophil_segmented"], "bag": str(file), "minimum_cells": 2}
    first, second = (row.path for row in read_cohort(cohort_file)[:2])
    spec["parity_cells"] = str(first)
    models = {"neutrophil": spec}
    write_bundle(
        {"name": "bag", "version": "1", "positive": "vexas", "models": models},
        to=file.parent / "bag.vxb",
    )
    with read_case(second) as case:
        result = score_case(
            case, open_bundle(file.parent / "bag.vxb"), covariates={"age_years": "44"}
        )
    (model,) = result.models
    assert result.status == "scored"
    assert there(model.score) != there(model.cells_alone)


def test_the_command_judges_beside_covariates_and_goes_on(
    training: Training, start: str, tmp_path: Path
) -> None:
    cohort_file = tmp_path / "cohort" / "cohort.csv"
    drawn = ("--patients", "14", "--neutrophil", "4", "--monocyte", "0", "--lymphocyte", "0")
    assert training("synth", "-o", cohort_file.parent, *drawn, "--strength", "1").status == 0
    lines = cohort_file.read_text().splitlines()
    rows = [f"{line},{40 + 3 * n}" for n, line in enumerate(lines[1:])]
    cohort_file.write_text("\n".join([f"{lines[0]},age_years", *rows]) + "\n")
    command = (
        *("bags", cohort_file, "--cells", "neutrophil_segmented", "--positive", "vexas"),
        *("--backbone", "compact", "--preprocessing", "torchvision", "--canvas-px", "64"),
        *("--start", start, "--aggregation", "topk", "--top-k", "2", "--epochs", "2"),
        *("--folds", "2", "-o", tmp_path / "bags"),
    )
    ended = training(*command, "--covariate", "age_years=years")
    assert ended.status == 0, ended.err
    for words in ("covariates alone", "image alone", "image and covariates less covariates alone"):
        assert words in ended.out
    check_model(tmp_path / "bags" / "bags.safetensors", start)
    check_bundle(tmp_path / "bags" / "bags.safetensors", cohort_file)
    page = (tmp_path / "bags" / "covariates.html").read_text()
    assert page.count("data:image/png") == 2
    made = sorted((tmp_path / "bags" / "trainings").iterdir())
    times = [file.stat().st_mtime_ns for file in made]
    again = training(*command, "--covariate", "age_years=years")
    assert again.out == ended.out
    assert [file.stat().st_mtime_ns for file in made] == times
    joined = training(*command, "--covariate", "age_years", "--joined", "head")
    assert joined.status == 0, joined.err
    assert "image alone" not in joined.out
    for named, said in (
        (("--covariate", "weight"), "no column 'weight'; its further columns are age_years"),
        (("--covariate", "age_years") * 2, "covariate 'age_years' is named twice"),
        (("--positive", "mds"), "no patient with enough cells is in the group 'mds'"),
    ):
        refused = training(*command, *named)
        assert refused.status in (UsageError.exit_status, InputError.exit_status)
        assert said in refused.err


def test_the_encoders_stages_can_learn_at_a_rate_of_their_own(start: str) -> None:
    bags = some_bags()
    fit = np.arange(len(bags))
    positive = np.array([group == "sick" for group in bags.groups])
    moved = {}
    for rate in (None, 1e-7):
        asked = options(start, train="last", last=1, encoder_rate=rate)
        training = BagTraining(asked, kept_inputs(asked, bags), bags, positive, fit)
        before = {n: t.clone() for n, t in training.network.named_parameters()}
        training.epoch()
        after = dict(training.network.named_parameters())
        moved[rate] = {
            part: max(float((after[n] - before[n]).abs().max()) for n in before if part in n)
            for part in ("late", "classify")
        }
    assert moved[1e-7]["late"] < 1e-5 < moved[None]["late"]
    assert moved[1e-7]["classify"] > 1e-3
