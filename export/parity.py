"""Proves, step by step and on real cells, that the export has not changed a model's numbers.

The fused graph's encoder is compared with torch or the encoder's own file, the head with
scikit-learn, and the fused graph with the head. Inner tensors are compared in the order in which
they are computed, so the first one that differs shows which step is wrong.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto

from export.comparing import compared, largest, rounded
from export.encodings import encoding_tolerance, l2_normalised, mean_pairwise_cosine
from export.execution import run_graph, session_from
from export.graph import between
from export.heads import Head
from export.scaling import InputScaling
from vexas_edge.bundle.contract import CELLS, EMBEDDING, ENCODINGS, PROBABILITIES, SCALED
from vexas_edge.bundle.models import EncodingKind

# Above this mean pairwise cosine, cells look so alike that their agreement shows little.
ALIKE = 0.99

SCALED_TOLERANCE = 1e-3  # of pixels, which go to 255, and of numbers in units of their spread
EMBEDDING_TOLERANCE = 1e-3  # as a share of the largest element
FUSED_SCORE_TOLERANCE = 1e-3
LOG_WEIGHT_TOLERANCE = 1e-4  # of a cell whose positions are weighed

_CELLS_PER_CALL = 8


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The figures measured on each graph, by name: largest differences unless the name differs."""

    fused: dict[str, Any]
    head: dict[str, Any]


def check_parity(
    fused: ModelProto,
    graph: ModelProto,
    *,
    cells: np.ndarray,
    scaling: InputScaling,
    encoding: EncodingKind,
    reference: Callable[[np.ndarray], np.ndarray],
    head: Head,
) -> Parity:
    """The largest differences of every step on some cells, two of them distinct.

    Args:
        cells: as the fused graph takes them.
        graph: that of the head.

    Raises:
        ParityError: a tensor differs by more than its tolerance; the first one is named.
    """
    traced = _trace(fused, cells)
    scaled, encodings = scaling(cells), traced[ENCODINGS]
    embedding, found = reference(scaled), dict(traced)
    log_weights: dict[str, float] = {}
    if head.weighs_positions:
        log_weights["log_weights"] = compared(
            "log_weights", encodings[:, -1], embedding[:, -1], LOG_WEIGHT_TOLERANCE
        )
        embedding = embedding[:, :-1]
        found |= {name: traced[name][:, :-1] for name in (EMBEDDING, ENCODINGS)}
    of_encoder = encoder_parity(found, scaled, embedding, encoding) | log_weights
    feeds = head.feeds(cells)
    of_head, expected = head.check(graph, encodings, feeds)
    tail = between(fused, [ENCODINGS, *feeds], [PROBABILITIES])
    probabilities = run_graph(tail, {ENCODINGS: encodings, **feeds})[PROBABILITIES]
    means = (probabilities.mean(axis=0), expected.mean(axis=0))
    of_fused = {
        "score_beside_head": compared("fused probabilities", *means, FUSED_SCORE_TOLERANCE),
        "largest_beside_head": largest(probabilities, expected),
    }
    return Parity(fused={**of_encoder, **of_fused, "cells": len(cells)}, head=of_head)


def encoder_parity(
    traced: Mapping[str, np.ndarray],
    scaled: np.ndarray,
    embedding: np.ndarray,
    encoding: EncodingKind,
) -> dict[str, float]:
    """Differences of the fused graph's inner tensors and encodings from NumPy and the source.

    Args:
        embedding: by the source, float32 (N, D).

    Raises:
        ParityError: a tensor differs by more than its tolerance.
    """
    normalised = l2_normalised(embedding)
    encodings = normalised if encoding == "l2" else embedding
    largest = float(np.abs(embedding).max())
    allowed = encoding_tolerance(normalised)
    if encoding == "raw":
        allowed *= float(np.linalg.norm(embedding, axis=1).max())
    return {
        SCALED: compared(SCALED, traced[SCALED], scaled, SCALED_TOLERANCE),
        EMBEDDING: compared(EMBEDDING, traced[EMBEDDING], embedding, EMBEDDING_TOLERANCE * largest),
        ENCODINGS: compared(ENCODINGS, traced[ENCODINGS], encodings, allowed),
        "encodings_allowed": rounded(allowed),
        "mean_pairwise_cosine": rounded(mean_pairwise_cosine(normalised)),
    }


def _trace(fused: ModelProto, cells: np.ndarray) -> dict[str, np.ndarray]:
    """Inner tensors of the fused graph for all cells, run in batches as scoring does."""
    encoder = session_from(between(fused, [CELLS], [SCALED, EMBEDDING, ENCODINGS]))
    parts = [
        encoder.run(None, {CELLS: cells[i : i + _CELLS_PER_CALL]})
        for i in range(0, len(cells), _CELLS_PER_CALL)
    ]
    names = [output.name for output in encoder.get_outputs()]
    return {
        name: np.concatenate(p) for name, p in zip(names, zip(*parts, strict=True), strict=True)
    }
