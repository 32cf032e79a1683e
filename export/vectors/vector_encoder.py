"""The encoder of cells that are rows of numbers, as ONNX."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from export.encoder import checked_encoder, exported_module
from export.inputs import Encoder
from export.vectors.sizes import EncoderSizes

if TYPE_CHECKING:
    from torch import nn

_CELLS_PER_BATCH = 128
# How near a cell's last neighbour and the next anchor may be in their mean squared differences.
_TIE = 1e-5


def encoder_from_network(network: "nn.Module", sizes: EncoderSizes) -> Encoder:
    """The network as an encoder: from scaled numbers float32 (N, G) to float32 (N, D).

    Args:
        network: a `VectorEncoder` of these sizes, in evaluation mode, on the CPU.

    Raises:
        InputError: torch cannot export it.
    """
    import torch

    model = exported_module(network, torch.zeros(2, sizes.n_features), "rows")
    model = checked_encoder(model, "the exported encoder", input_rank=2)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = sizes.head_width
    source = {"encoder": f"numbers, {sizes.head}", "weights": "of the bag"}
    return Encoder(model=model, reference=_reference(network), source=source)


def near_ties(network: "nn.Module", scaled: np.ndarray) -> np.ndarray:
    """For which cells rounding may decide which anchors the network joins to them, bool (N,).

    Such a cell may get either of two encodings, and is not compared.

    Args:
        network: a `VectorEncoder`; none but one with a graph has such cells.
        scaled: numbers of cells, float32 (N, G).
    """
    import torch

    from export.vectors.network import VectorEncoder, neighbour_gaps

    assert isinstance(network, VectorEncoder)  # as encoders of numbers are
    return (neighbour_gaps(network, torch.from_numpy(scaled)) <= _TIE).numpy()


def _reference(network: "nn.Module") -> Callable[[np.ndarray], np.ndarray]:
    import torch

    def reference(scaled: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batches = torch.from_numpy(scaled).split(_CELLS_PER_BATCH)
            return torch.cat([network(batch) for batch in batches]).numpy()

    return reference
