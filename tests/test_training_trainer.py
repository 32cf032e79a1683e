"""Pretraining: the same seed gives the same encoder, whether the run was interrupted or not."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import write_cohort
from torch import Tensor
from training_command import Training
from training_command import training as training

from export.backbones import build_backbone, load_weights
from export.preprocessing import PREPROCESSINGS, pixels_from_cells
from training.pretraining import trainer as pretrain
from training.pretraining.batches import BatchOptions, draw_batches
from training.pretraining.cell_stack import CellStack, WantedCells, stack_cells
from training.pretraining.contrast import contrastive_loss
from training.pretraining.pace import PaceOptions, is_over, rate_at
from training.pretraining.pixels import Scaling, encode_pixels, network_input
from training.pretraining.run_folder import CHECKPOINT, CURVE, LOG, WEIGHTS, pretrain_into
from training.pretraining.trainer import Pretraining, PretrainOptions, Record
from training.pretraining.views import ViewOptions
from vexas_edge.errors import InputError, UsageError
from vexas_edge.smear.cohort import read_cohort
from vexas_edge.smear.options import ReadOptions

QUICK = PretrainOptions(
    backbone="compact",
    preprocessing="torchvision",
    views=ViewOptions(crop_px=16),
    pace=PaceOptions(rate=1e-3, epochs=4),
)
COMMAND = [
    *("--cells", "neutrophil", "--backbone", "compact", "--preprocessing", "torchvision"),
    *("--crop-px", "16", "--rate", "1e-3", "--epochs", "2"),
]


class PulledPlugError(Exception):
    """Somebody pulled the plug."""


def silent(*_: object) -> None:
    """Says nothing."""


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    return write_cohort(tmp_path / "cohort", n_patients=4, cells=4)


@pytest.fixture
def cells(cohort: Path) -> CellStack:
    wanted = WantedCells(classes=("neutrophil",), reading=ReadOptions())
    return stack_cells(read_cohort(cohort), wanted)[0]


def run_in(folder: Path, cells: CellStack, options: PretrainOptions) -> list[Record]:
    return pretrain_into(folder, cells, options, progress=silent, say=silent)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"queue": 12, "weight_decay": 0.01, "batch": BatchOptions(size=4, pair="patient")},
        {"pace": PaceOptions(schedule="cosine", rate=1e-3, warm_up=1.5, epochs=4)},
    ],
    ids=["paper", "queue", "cosine"],
)
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    cells: CellStack, tmp_path: Path, changes: dict[str, Any]
) -> None:
    options = replace(QUICK, **changes)
    whole = run_in(tmp_path / "whole", cells, options)

    def pull_the_plug(name: str, done: int, _: int) -> None:
        if name == "epoch 3" and done == 2:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        pretrain_into(tmp_path / "cut", cells, options, progress=pull_the_plug, say=silent)
    assert not (tmp_path / "cut" / WEIGHTS).exists()
    torch.manual_seed(99)  # nothing hangs on torch's own random state
    assert run_in(tmp_path / "cut", cells, options) == whole
    assert len(whole) == 4
    for file in (WEIGHTS, CHECKPOINT):
        assert same(load_file(tmp_path / "whole" / file), load_file(tmp_path / "cut" / file))
    assert (tmp_path / "whole" / LOG).read_text() == (tmp_path / "cut" / LOG).read_text()


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def start_with_statistics(path: Path, backbone: str) -> dict[str, Tensor]:
    """Weights whose batch normalisation has seen images; they are saved at `path`."""
    torch.manual_seed(1)
    network = build_backbone(backbone)
    with torch.no_grad():
        for _ in range(3):
            network(20 * torch.randn(4, 3, 48, 48) + 5)
    weights = network.state_dict()
    save_file(weights, path)
    return weights


@pytest.mark.parametrize("backbone", ["compact", "resnet50"])
def test_batch_normalisation_keeps_the_statistics_of_its_start(
    cells: CellStack, tmp_path: Path, backbone: str
) -> None:
    start = start_with_statistics(tmp_path / "start.safetensors", backbone)
    options = replace(QUICK, backbone=backbone, start=str(tmp_path / "start.safetensors"))
    options = replace(options, pace=PaceOptions(rate=1e-3, epochs=1))
    run = Pretraining(cells, options, probe=cells)
    run.run_epoch(silent)
    run.run_epoch(silent)  # after the probe, which looks at the encoder in evaluation mode
    learned = run.best_weights()
    changed = [name for name in start if not torch.equal(learned[name], start[name])]
    assert not [name for name in changed if name.endswith(STATISTICS)]
    assert [
        name for name in changed if name.endswith(("bn1.weight", "norm.weight", "conv1.weight"))
    ]
    own = replace(options, batch_norm="learned")
    run = Pretraining(cells, own, probe=cells)
    run.run_epoch(silent)
    learned = run.best_weights()
    names = [name for name in start if name.endswith("running_mean")]
    assert not any(torch.equal(learned[name], start[name]) for name in names)


def test_the_encoding_of_a_cell_does_not_depend_on_those_beside_it(
    cells: CellStack, tmp_path: Path
) -> None:
    start_with_statistics(tmp_path / "start.safetensors", "resnet50")
    options = replace(QUICK, backbone="resnet50", start=str(tmp_path / "start.safetensors"))
    pixels = 20 * torch.randn(4, 3, 48, 48)

    def gap(options: PretrainOptions) -> float:
        encoder = Pretraining(cells, options)._encoder
        with torch.no_grad():
            together, alone = encoder(pixels)[:2], encoder(pixels[:2])
        return float((together - alone).abs().max() / alone.abs().max())

    assert gap(options) < 1e-5
    assert gap(replace(options, batch_norm="learned")) > 0.01


def test_statistics_are_not_frozen_where_there_are_none() -> None:
    assert not QUICK.keeps_statistics
    with pytest.raises(UsageError, match="there is no start to keep statistics of"):
        replace(QUICK, batch_norm="frozen")


def test_a_run_hashes_its_cells_once(
    cells: CellStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []
    sha256 = CellStack.sha256

    def counted(stack: CellStack) -> str:
        hashed.append(len(stack))
        return sha256(stack)

    monkeypatch.setattr(CellStack, "sha256", counted)
    run_in(tmp_path, cells, QUICK)
    assert hashed == [16]


def test_a_finished_run_is_not_run_again(cells: CellStack, tmp_path: Path) -> None:
    history = run_in(tmp_path, cells, QUICK)
    before = (tmp_path / WEIGHTS).read_bytes()
    said: list[str] = []
    again = pretrain_into(tmp_path, cells, QUICK, progress=silent, say=said.append)
    assert again == history
    assert said == [f"{tmp_path / CHECKPOINT}: continuing after epoch 4"]
    assert (tmp_path / WEIGHTS).read_bytes() == before


def test_a_seed_gives_one_encoder_and_another_seed_another(cells: CellStack) -> None:
    found = []
    for seed in (1, 1, 2):
        run = Pretraining(cells, replace(QUICK, seed=seed))
        run.run_epoch(silent)
        found.append(run.best_weights())
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_views_are_the_same_where_an_encoder_learns_in_bfloat16(
    cells: CellStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def noted(views: Tensor, scaling: Scaling) -> Tensor:
        seen.append(views)
        return network_input(views, scaling)

    def as_on_a_gpu(device: str, dtype: torch.dtype, _: bool) -> torch.autocast:
        return autocast(device, dtype, True)

    autocast = torch.autocast
    monkeypatch.setattr(pretrain, "network_input", noted)
    Pretraining(cells, QUICK).run_epoch(silent)
    monkeypatch.setattr(torch, "autocast", as_on_a_gpu)
    Pretraining(cells, QUICK).run_epoch(silent)
    assert len(seen) == 8
    for full, half in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(full, half)


def test_the_best_epochs_weights_are_kept(
    cells: CellStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each epoch has two batches; the losses stand in for those of a run that gets worse again.
    wanted = iter([5.0, 5.0, 2.0, 2.0, 4.0, 4.0])

    def told(first: Tensor, second: Tensor, queue: Tensor, temperature: float) -> Tensor:
        loss = contrastive_loss(first, second, queue, temperature)
        return loss * (next(wanted) / loss.item())

    monkeypatch.setattr(pretrain, "contrastive_loss", told)
    run = Pretraining(cells, QUICK)
    after_each = []
    for _ in range(3):
        run.run_epoch(silent)
        state = run.checkpoint().part("encoder")
        after_each.append(state)
    assert [round(record["loss"], 6) for record in run.history] == [5, 2, 4]
    assert same(run.best_weights(), after_each[1])
    assert not same(run.best_weights(), after_each[2])


def test_learning_brings_views_of_a_cell_together(cells: CellStack) -> None:
    views = ViewOptions(crop_px=16, turn_deg=0)
    pace = PaceOptions(rate=3e-3)
    options = replace(QUICK, batch=BatchOptions(size=16), temperature=0.2, views=views, pace=pace)
    run = Pretraining(cells, options)
    records = [run.run_epoch(silent) for _ in range(20)]
    assert records[0]["loss"] > math.log(16) - 0.6
    assert records[-1]["loss"] < 0.3 * records[0]["loss"]
    assert records[-1]["contrastive_accuracy"] > 0.8 > records[0]["contrastive_accuracy"]


def test_the_papers_settings_are_the_defaults() -> None:
    options = PretrainOptions()
    assert (options.backbone, options.queue, options.temperature) == ("vgg16", 0, 0.07)
    assert options.batch == BatchOptions(size=8, patients=0, pair="cell")
    assert (options.projection, options.weight_decay) == (128, 0)
    assert options.views == ViewOptions(crop_px=128, flip=0.5, turn_deg=180, jitter=0, grey=0)
    pace = options.pace
    assert (pace.schedule, pace.rate, pace.lowest_rate) == ("plateau", 1e-5, 1e-5)
    assert (pace.least_fall, pace.halve_after, pace.stop_after) == (1e-3, 3, 5)


def test_a_plateau_halves_the_rate_after_3_epochs_and_ends_after_5() -> None:
    pace = PaceOptions(rate=8e-5)
    losses = [3.0, 2.0, 1.9995, 1.9993, 2.5]  # 3 epochs without a fall of 1e-3
    assert [rate_at(losses[:n], 0.5, pace) for n in (2, 4)] == [8e-5] * 2
    assert rate_at(losses, 0.5, pace) == 4e-5
    assert not is_over([*losses, 2.0], pace)
    assert is_over([*losses, 2.0, 2.0], pace)
    fallen = [*losses, 1.9]
    assert not is_over([*fallen, 1.9, 1.9, 1.9, 1.9], pace)
    assert rate_at([*fallen, 1.9, 1.9, 1.9], 0.5, pace) == 2e-5
    long = [1.0, *[1.0] * 30]
    assert rate_at(long, 0.5, replace(pace, stop_after=100)) == 1e-5  # the floor
    assert rate_at(long, 0.5, PaceOptions()) == 1e-5  # the paper's rate is the floor already


def test_a_cosine_rises_over_its_warm_up_and_falls_to_nothing() -> None:
    pace = PaceOptions(schedule="cosine", rate=1.0, warm_up=2, epochs=12)
    rates = [rate_at([9.0] * epoch, 0.0, pace) for epoch in range(12)]
    assert rates[:3] == pytest.approx([0, 0.5, 1])
    assert rates[7] == pytest.approx(0.5)
    assert sorted(rates[2:], reverse=True) == rates[2:]
    assert rate_at([9.0] * 11, 1.0, pace) == pytest.approx(0)
    assert not is_over([9.0] * 11, pace)
    assert is_over([9.0] * 12, pace)


def batches_of(options: BatchOptions) -> list[tuple[list[int], list[int]]]:
    """Of 16 cells of four patients, five of the first, one of the last."""
    patients = [*"AAAAABBBBBCCCCCD"]
    drawn = draw_batches(patients, options, torch.Generator().manual_seed(3))
    return [(rows.tolist(), others.tolist()) for rows, others in drawn]


@pytest.mark.parametrize("few", [0, 1, 2, 3])
def test_batches_hold_every_cell_once_and_few_patients_where_that_is_asked(few: int) -> None:
    found = batches_of(BatchOptions(size=4, patients=few))
    assert all(rows == others for rows, others in found)
    met = [row for rows, _ in found for row in rows]
    assert len(met) == len(set(met)) >= 12  # what is left over alone has no contrast
    for rows, _ in found if few else ():
        assert len({"AAAAABBBBBCCCCCD"[row] for row in rows}) <= few


def test_a_patients_pairs_are_two_of_its_cells_and_no_batch_has_two_of_them() -> None:
    found = batches_of(BatchOptions(size=3, pair="patient"))
    names = "AAAAABBBBBCCCCCD"
    for rows, others in found:
        assert len(rows) == len({names[row] for row in rows})
        for row, other in zip(rows, others, strict=True):
            assert names[row] == names[other]
            assert row != other or names[row] == "D"
    # The round of four patients leaves one over.
    assert sum(len(rows) for rows, _ in found) == 15
    with pytest.raises(UsageError, match="need batches of all patients"):
        BatchOptions(pair="patient", patients=2)


def test_encoding_is_what_the_backbone_gives_in_evaluation(cells: CellStack) -> None:
    encoder = build_backbone("compact").train()
    found = encode_pixels(encoder, cells.pixels, PREPROCESSINGS["keras-caffe"])
    assert encoder.training
    pixels = pixels_from_cells(cells.pixels.numpy(), PREPROCESSINGS["keras-caffe"])
    with torch.inference_mode():
        expected = encoder.eval()(torch.from_numpy(pixels)).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_learning_starts_from_the_weights_that_are_named(cells: CellStack, tmp_path: Path) -> None:
    torch.manual_seed(5)
    start = build_backbone("compact").state_dict()
    save_file(start, tmp_path / "start.safetensors")
    torch.save(start, tmp_path / "start.pth")
    for name in ("start.safetensors", "start.pth"):
        run = Pretraining(cells, replace(QUICK, start=str(tmp_path / name)))
        assert same(run.checkpoint().part("encoder"), start)
    save_file({"x": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="not this encoder's"):
        Pretraining(cells, replace(QUICK, start=str(tmp_path / "other.safetensors")))


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_no_weights(
    cells: CellStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pretrain, "contrastive_loss", lambda *given: contrastive_loss(*given) * math.nan
    )
    with pytest.raises(InputError, match=r"the loss is nan in epoch 1; use a lower rate"):
        run_in(tmp_path, cells, QUICK)
    assert list(tmp_path.glob("*.*")) == []


def test_cells_without_contrast_are_refused(cells: CellStack) -> None:
    one_patient = cells.of_patients(["P1"])
    assert len(one_patient) == 4
    run = Pretraining(one_patient, replace(QUICK, batch=BatchOptions(pair="patient")))
    with pytest.raises(InputError, match="no two of the 4 cells can be in one batch"):
        run.run_epoch(silent)
    one_cell = replace(one_patient, identities=one_patient.identities[:1])
    with pytest.raises(InputError, match="only one cell"):
        Pretraining(one_cell, QUICK)


def test_a_checkpoint_of_another_run_is_refused(cells: CellStack, tmp_path: Path) -> None:
    one_epoch = replace(QUICK, pace=replace(QUICK.pace, epochs=1))
    run_in(tmp_path, cells, one_epoch)
    with pytest.raises(UsageError, match=r"temperature was 0\.07, now 0\.5.*use the same options"):
        run_in(tmp_path, cells, replace(one_epoch, temperature=0.5))
    fewer = replace(cells, identities=cells.identities[::-1])
    with pytest.raises(UsageError, match="cells was"):
        run_in(tmp_path, fewer, one_epoch)
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="is damaged or not a checkpoint"):
        run_in(tmp_path, cells, one_epoch)


def test_cells_are_distinct_and_a_larger_one_is_cut(cohort: Path) -> None:
    folder = cohort.parent / "S0" / "neutrophil"
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    wide_image = Image.new("RGB", (30, 10), (9, 8, 7))
    wide_image.putpixel((0, 0), (90, 80, 70))
    wide_image.save(folder / "wide.png")
    rows = read_cohort(cohort)
    wanted = WantedCells(classes=("neutrophil",), reading=ReadOptions())
    cells, lost = stack_cells(rows, wanted)
    assert (len(cells), lost) == (17, ())
    assert cells.pixels.shape == (17, 30, 30, 3)
    cut, _ = stack_cells(rows, replace(wanted, canvas_px=12))
    wide = cut.identities.index(cells.identities[4])
    assert cut.sizes[wide].tolist() == [10, 12]
    assert cut.pixels[wide, 1:11].unique(dim=0).shape[0] == 1
    assert not cut.pixels[wide, 0].any()


def test_the_command_learns_writes_and_says(
    training: Training, cohort: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = training("pretrain", cohort, *COMMAND, "--probe", cohort, "-o", out)
    assert ended.status == 0, ended.err
    assert f"{out / WEIGHTS}: epoch " in ended.out
    assert "16 cells of 4 patients, 0 unreadable" in ended.err
    assert "epoch 2 of at most 2: loss " in ended.err
    load_weights(build_backbone("compact"), out / WEIGHTS)
    head, *records = map(json.loads, (out / LOG).read_text().splitlines())
    assert head["options"]["views"]["crop_px"] == 16
    assert head["options"]["batch"] == {"size": 8, "patients": 0, "pair": "cell"}
    assert [record["epoch"] for record in records] == [1, 2]
    assert 0 <= records[0]["probe_accuracy"] <= 1
    with Image.open(out / CURVE) as image:
        assert image.format == "PNG"


def test_an_unreadable_cell_is_named_and_the_run_fails_or_goes_on_without_it(
    training: Training, cohort: Path, tmp_path: Path
) -> None:
    (cohort.parent / "S1" / "neutrophil" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    ended = training("pretrain", cohort, *COMMAND, "-o", tmp_path / "out")
    assert ended.status == 5
    assert "1 cells cannot be read; the first is S1: neutrophil/2.png: " in ended.err
    assert not (tmp_path / "out").exists()
    ended = training("pretrain", cohort, *COMMAND, "--skip-unreadable", "-o", tmp_path / "out")
    assert ended.status == 0, ended.err
    assert "warning: S1: neutrophil/2.png" in ended.err
    head = json.loads((tmp_path / "out" / LOG).read_text().splitlines()[0])
    assert head["cells"] == 15
    assert len(head["unreadable"]) == 1


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        (("--cells", "eosinophil"), 5, "none of the 4 cases has a readable cell of eosinophil"),
        (("--split", "train"), 5, "no case in the split 'train'; its splits are fit"),
        (("--preprocessing", "mine"), 2, "unknown preprocessing 'mine'"),
        (("--temperature", "0"), 2, "temperature is 0.0 and projection 128; both must be"),
        (("--start", "nowhere.pth"), 5, "weights file nowhere.pth was not found"),
        (("--rate", "0"), 2, "expected a rate above 0"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    training: Training,
    cohort: Path,
    tmp_path: Path,
    changes: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    ended = training("pretrain", cohort, *COMMAND, *changes, "-o", tmp_path / "out")
    assert ended.status == status
    assert said in ended.err
    assert not (tmp_path / "out" / WEIGHTS).exists()
