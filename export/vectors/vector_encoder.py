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


def _reference(network: "nn.Module") -> Callable[[np.ndarray], np.ndarray]:
    import torch

    def reference(scaled: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batches = torch.from_numpy(scaled).split(_CELLS_PER_BATCH)
            return torch.cat([network(batch) for batch in batches]).numpy()

    return reference
