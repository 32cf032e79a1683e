"""An epoch drawn at once: the numbers of a batch at a time, and no copy for any batch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cell_stacks import noise_cells
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from export.preprocessing import PREPROCESSINGS
from training.pretraining.batches import BatchOptions, draw_batches
from training.pretraining.cell_stack import CellStack
from training.pretraining.epoch import Epoch, draw_epoch
from training.pretraining.pixels import network_input, scaling_on
from training.pretraining.supply import some_pixels
from training.pretraining.views import ViewOptions, draw_numbers, views_from_numbers

CPU = torch.device("cpu")
GPU = torch.device("meta")  # computes shapes alone, and no tensor of the CPU is one of its own
COLOURED = ViewOptions(crop_px=8, jitter=0.3, grey=0.5)


class Transfers(TorchDispatchMode):
    """Names what is done with tensors of more than one device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self,
        done: Callable[..., Any],
        _: object,
        given: tuple[Any, ...] = (),
        named: dict[str, Any] | None = None,
    ) -> Any:
        """Do it, and name it if it crosses."""
        found = done(*given, **(named or {}))
        tensors = [t for t in tree_leaves((given, named, found)) if isinstance(t, Tensor)]
        if len({tensor.device.type for tensor in tensors}) > 1:
            self.names.append(str(done))
        return found


@pytest.mark.parametrize(
    "batch",
    [
        BatchOptions(size=5),
        BatchOptions(size=32),  # torch draws 16 and more normal numbers in another way
        BatchOptions(size=8, patients=2),
        BatchOptions(size=4, pair="patient"),
    ],
    ids=["few", "many", "patients", "pairs"],
)
@pytest.mark.parametrize("views", [ViewOptions(crop_px=8), COLOURED], ids=["paper", "coloured"])
def test_an_epochs_numbers_are_those_of_drawing_them_batch_by_batch(
    batch: BatchOptions, views: ViewOptions
) -> None:
    cells = noise_cells()
    at_once, by_batch = Generator().manual_seed(7), Generator().manual_seed(7)
    for _ in range(2):
        epoch = draw_epoch(cells, batch, views, at_once)
        batches = list(draw_batches(cells.patients, batch, by_batch))
        assert epoch.sizes == tuple(len(rows) for rows, _ in batches)
        for drawn, wanted in zip(epoch.batches(), batches, strict=True):
            for view, rows in zip(drawn, wanted, strict=True):
                assert torch.equal(view.rows, rows)
                assert torch.equal(view.numbers, draw_numbers(cells, rows, views, by_batch))
        assert torch.equal(at_once.get_state(), by_batch.get_state())


def shown(cells: CellStack, epoch: Epoch, device: torch.device) -> list[Tensor]:
    """The network's input of every view of the epoch."""
    scaling = scaling_on(device, PREPROCESSINGS["keras-caffe"])
    with Transfers() as transfers:
        found = [
            network_input(
                views_from_numbers(
                    some_pixels(cells.pixels, views.rows, device), views.numbers, COLOURED
                ),
                scaling,
            )
            for both in epoch.batches()
            for views in both
        ]
    assert transfers.names == []
    return found


def test_a_device_gets_the_numbers_of_an_epoch_in_one_copy_and_nothing_for_a_batch() -> None:
    cells = noise_cells()
    epoch = draw_epoch(cells, BatchOptions(size=8), COLOURED, Generator().manual_seed(1))
    with Transfers() as transfers:
        there = epoch.on(GPU, GPU)
    assert transfers.names == ["aten._to_copy.default"] * 2  # of the rows and of their numbers
    sizes = [tuple(views.shape) for views in shown(cells.on(GPU), there, GPU)]
    assert sizes == [tuple(views.shape) for views in shown(cells, epoch, CPU)]
    assert sizes[0] == (8, 3, 8, 8)


def test_cells_that_leave_a_gpu_too_little_room_stay_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells, gpu = noise_cells(), torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * cells.pixels.nbytes - 1, 0))
    assert cells.on(gpu).pixels is cells.pixels
    rows = torch.tensor([3, 1])
    with Transfers() as transfers:
        some = some_pixels(cells.pixels, rows, GPU)
    assert (some.device, some.shape) == (GPU, (2, 12, 12, 3))
    assert transfers.names == ["aten._to_copy.default"]
    assert torch.equal(some_pixels(cells.pixels, rows, CPU), cells.pixels[rows])
