"""Cells for tests of pretraining, as it keeps them."""

import numpy as np
import torch

from training.pretraining.cell_stack import CellStack


def noise_cells(n: int = 45, least_px: int = 6, side_px: int = 12) -> CellStack:
    """Cells of noise of three patients, `least_px` to `side_px` high and wide, in squares."""
    rng = np.random.default_rng(0)
    return CellStack(
        pixels=torch.from_numpy(rng.integers(0, 256, (n, side_px, side_px, 3), np.uint8)),
        sizes=torch.from_numpy(rng.integers(least_px, side_px + 1, (n, 2))),
        patients=tuple("ABC"[i % 3] for i in range(n)),
        samples=("S",) * n,
        labels=("L",) * n,
        identities=tuple(bytes([i]) * 32 for i in range(n)),
    )
