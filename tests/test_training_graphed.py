"""A training step that is repeated as a graph: its kernels alone, on the memory that they know.

There is no GPU here. A stand-in notes each operation of a step and repeats those, and nothing of
what Python does around them, as a CUDA graph would.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cell_stacks import noise_cells
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from training.pretraining import trainer
from training.pretraining.batches import BatchOptions
from training.pretraining.cell_stack import CellStack
from training.pretraining.graphed import Capture, Step, UsualSteps, capture_for
from training.pretraining.pace import PaceOptions
from training.pretraining.run_folder import CHECKPOINT, pretrain_into
from training.pretraining.trainer import PretrainOptions
from training.pretraining.views import ViewOptions

# 45 cells make five batches of 8 and one of 5, in each epoch.
OPTIONS = PretrainOptions(
    backbone="resnet18",
    preprocessing="torchvision",
    views=ViewOptions(crop_px=16, jitter=0.2),
    batch=BatchOptions(size=8),
    pace=PaceOptions(schedule="cosine", rate=1e-3, warm_up=1, epochs=3),
)


class Noted(TorchDispatchMode):
    """Notes operations, and repeats them into the tensors that they gave."""

    def __init__(self) -> None:
        super().__init__()
        self._done: list[tuple[Callable[..., Any], Any, Any, list[Any]]] = []

    def __torch_dispatch__(
        self,
        done: Callable[..., Any],
        _: object,
        given: tuple[Any, ...] = (),
        named: dict[str, Any] | None = None,
    ) -> Any:
        """Do it and note it; as in a graph, no number may come back to Python."""
        if "_local_scalar_dense" in str(done):
            raise RuntimeError("a graph cannot wait for a number")
        found = done(*given, **(named or {}))
        known = {t.untyped_storage().data_ptr() for t in tensors_of((given, named))}
        new = [
            t if t.untyped_storage().data_ptr() not in known else None for t in tensors_of(found)
        ]
        self._done.append((done, given, named or {}, new))
        return found

    def repeat(self) -> None:
        """Do all of it again."""
        with torch.no_grad():
            for done, given, named, results in self._done:
                again = tensors_of(done(*given, **named))
                for result, value in zip(results, again, strict=True):
                    if result is not None:
                        result.copy_(value)


def tensors_of(values: object) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def noted_graph(step: Step, given: tuple[Tensor, ...]) -> Step:
    """Stands in for a graph. Its step is run when it is noted, so not when it is first replayed."""
    own = tuple(tensor.clone() for tensor in given)
    with Noted() as noted:
        found = step(*own)
    waiting = [True]

    def replay(*given: Tensor) -> Tensor:
        for kept, new in zip(own, given, strict=True):
            kept.copy_(new)
        if not waiting:
            noted.repeat()
        waiting.clear()
        return found

    return replay


def fused_optimizer(modules: list[nn.Module], options: PretrainOptions) -> torch.optim.Optimizer:
    """That of a GPU: its state and its rate are tensors."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return torch.optim.AdamW(parameters, torch.tensor(options.pace.rate), fused=True)


def cells(n: int = 45) -> CellStack:
    return noise_cells(n, least_px=12, side_px=20)


def run_in(
    folder: Path, options: PretrainOptions, progress: Callable[..., None] = lambda *_: None
) -> tuple[list[Any], dict[str, Tensor]]:
    history = pretrain_into(folder, cells(), options, progress=progress, say=lambda _: None)
    return history, load_file(folder / CHECKPOINT)


def assert_same(one: tuple[Any, dict[str, Tensor]], other: tuple[Any, dict[str, Tensor]]) -> None:
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    assert [name for name in one[1] if not torch.equal(one[1][name], other[1][name])] == []


@pytest.mark.parametrize("queue", [0, 12])
def test_a_repeated_step_learns_what_a_step_does_also_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue: int
) -> None:
    options = replace(OPTIONS, queue=queue)
    monkeypatch.setattr(trainer, "_optimizer", fused_optimizer)
    monkeypatch.setitem(trainer._FORMATS, "cpu", trainer._FORMATS["cuda"])
    plain = run_in(tmp_path / "plain", options)
    captured = []

    def counted(step: Step, given: tuple[Tensor, ...]) -> Step:
        captured.append(len(given[0]))
        return noted_graph(step, given)

    def pull_the_plug(name: str, done: int, _: int) -> None:
        if (name, done) == ("epoch 3", 2):
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "capture_for", lambda *_: counted)
    assert_same(run_in(tmp_path / "graph", options), plain)
    assert captured == [8]
    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path / "cut", options, pull_the_plug)
    assert_same(run_in(tmp_path / "cut", options), plain)
    assert captured == [8, 8, 8]


def summed(*given: Tensor) -> Tensor:
    return torch.stack([tensor.sum() for tensor in given]).sum()


def test_only_batches_of_the_usual_size_are_repeated_and_only_after_some_steps() -> None:
    captured: list[int] = []
    replayed: list[int] = []

    def capture(step: Step, given: tuple[Tensor, ...]) -> Step:
        captured.append(len(given[0]))

        def replay(*given: Tensor) -> Tensor:
            replayed.append(len(given[0]))
            return step(*given)

        return replay

    steps = UsualSteps(summed, 4, capture)
    sizes = [4, 3, 4, 2, 4, 3, 4, 4, 3, 4]
    given = [(torch.arange(n), torch.full((n,), n)) for n in sizes]
    assert [int(steps(*both)) for both in given] == [int(summed(*both)) for both in given]
    assert captured == [4]
    assert replayed == [4, 4, 4]


def test_a_step_that_cannot_be_captured_is_run_as_it_is_and_this_is_said_once() -> None:
    tried: list[int] = []

    def fails(_: Step, given: tuple[Tensor, ...]) -> Step:
        tried.append(len(given[0]))
        raise RuntimeError("operation not permitted\nwhile capturing")

    steps = UsualSteps(summed, 2, fails)
    ones = torch.ones(2)
    for _ in range(3):
        steps(ones)
    with pytest.warns(UserWarning, match=r"goes on without a CUDA graph: operation not permitted$"):
        assert float(steps(ones)) == 2
    assert float(steps(ones)) == 2
    assert tried == [2]


def test_a_cpu_captures_nothing_and_keeps_its_rate_a_number() -> None:
    run = trainer.Pretraining(cells(), OPTIONS)
    found: Capture | None = capture_for(cells().pixels, run._optimizer)
    assert found is None
    run.run_epoch(lambda *_: None)
    (group,) = run._optimizer.param_groups
    assert isinstance(group["lr"], float)
    assert not group["capturable"]
