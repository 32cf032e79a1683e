"""Finds out which single step of a spec is not as it was in the user's own pipeline.

It scores some patients again, by the sources of the export, with one step changed at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from export.classifier import Classifier
from export.comparing import ParityError
from export.encodings import l2_normalised
from export.preprocessing import PREPROCESSINGS, Preprocessing, pixels_from_cells
from export.reference_scores import Compared, PatientImages, agree, mean_difference
from vexas_edge.bundle.models import EncodingKind
from vexas_edge.cells.background import Background
from vexas_edge.cells.canvas import place_on_canvas
from vexas_edge.cells.limits import LargerCells
from vexas_edge.errors import CellError
from vexas_edge.scoring.draws import draw_cells

# A patient's distinct cells by identity, uint8 (H, W, 3) each, before they are put on the canvas.
Cells = Mapping[bytes, np.ndarray]

# The trials are made on the patients whose scores differ most, and on some that differ least.
_MOST_DIFFERENT, _LEAST_DIFFERENT = 8, 4
_TRIED_FIRST = 4
_DRAWS = 400
_DRAW_SIZES = (1, 2, 3, 5, 6, 7, 8, 10, 12, 15, 16, 20, 25, 30, 50, 100)
_CANVASES = (96, 112, 128, 160, 192, 224, 256, 272, 299)
_PREPROCESSINGS = {
    **PREPROCESSINGS,
    "0 to 1 without a mean": Preprocessing(mean=(0, 0, 0), scale=(255, 255, 255)),
}
_CELLS_PER_CALL = 8


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """From a patient's cells to a score, by the sources of an export.

    background: the bare slide that each patient's cells are brought to; None for none.
    encode: the source's own encoder, from float32 (N, 3, H, W) to float32 (N, D).
    placing: how a cell is put on the canvas.
    padding: what surrounds it there: black before the preprocessing, or zeros after it.
    positive: the class whose probability is the score.
    """

    encode: Callable[[np.ndarray], np.ndarray]
    classifier: Classifier
    preprocessing: Preprocessing
    encoding: EncodingKind
    background: Background | None = None
    canvas_px: int
    larger: LargerCells
    placing: Literal["centred", "resized", "in a corner"] = "centred"
    padding: Literal["black", "zero"] = "black"
    draw_size: int
    fit_draws: int
    positive: str

    def embeddings(self, cells: Cells) -> tuple[list[bytes], np.ndarray]:
        """The identities of the cells that fit, and their embeddings, float32 (N, D)."""
        placed = {identity: self._placed(pixels) for identity, pixels in cells.items()}
        fitting = {identity: both for identity, both in placed.items() if both is not None}
        if not fitting:
            return [], np.empty((0, 0), np.float32)
        canvases = np.stack([canvas for canvas, _ in fitting.values()])
        images = pixels_from_cells(canvases, self.preprocessing)
        if self.padding == "zero":
            covered = np.stack([mask for _, mask in fitting.values()])
            images *= covered[:, None]
        starts = range(0, len(images), _CELLS_PER_CALL)
        parts = [self.encode(images[start : start + _CELLS_PER_CALL]) for start in starts]
        return list(fitting), np.concatenate(parts)

    def _placed(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The cell on the canvas and where it covers that; None if it does not fit."""
        side, everywhere = self.canvas_px, np.ones(pixels.shape, np.uint8)
        if self.placing == "resized":
            image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
            return np.asarray(image), np.ones((side, side), bool)
        if self.placing == "in a corner":
            return _in_a_corner(pixels, side), _in_a_corner(everywhere, side)[..., 0] > 0
        try:
            canvas = place_on_canvas(pixels, side, self.larger)
        except CellError:
            return None
        return canvas, place_on_canvas(everywhere, side, self.larger)[..., 0] > 0

    def score(self, identities: Sequence[bytes], embeddings: np.ndarray) -> tuple[float, float]:
        """The mean over draws of the positive class's probability, and its standard error."""
        encodings = l2_normalised(embeddings) if self.encoding == "l2" else embeddings
        draws = draw_cells(identities, _DRAWS, self.draw_size, seed=0)
        aggregates = np.median(encodings[draws], axis=1).astype(np.float64)
        classes = [str(name) for name in self.classifier.classes_]
        probabilities = self.classifier.predict_proba(aggregates)[:, classes.index(self.positive)]
        return float(probabilities.mean()), float(probabilities.std(ddof=1) / _DRAWS**0.5)


def _in_a_corner(pixels: np.ndarray, side: int) -> np.ndarray:
    canvas = np.zeros((side, side, 3), np.uint8)
    kept = pixels[:side, :side]
    canvas[: kept.shape[0], : kept.shape[1]] = kept
    return canvas


def check_reference(
    compared: Sequence[Compared],
    name: str,
    scores: Path,
    pipeline: Pipeline,
    images: PatientImages,
) -> None:
    """Check that the bundle and the user's own pipeline give the same scores.

    Args:
        pipeline: what the spec says; its steps are changed one at a time.
        images: the patients' cells.
        scores: the file that the user's scores are from, for the message.

    Raises:
        ParityError: they do not; the message says which step most likely differs.
    """
    if agree(compared):
        return
    worst = max(compared, key=lambda c: abs(c.difference))
    raise ParityError(
        f"model {name}: the bundle's scores differ from those in {scores} by "
        f"{mean_difference(compared):.3f} in the mean over {len(compared)} patients, at most by "
        f"{abs(worst.difference):.3f} (patient {worst.row.patient!r}), which the draws do not "
        f"explain; {_explanation(compared, pipeline, images)}"
    )


def _explanation(
    compared: Sequence[Compared],
    pipeline: Pipeline,
    images: PatientImages,
) -> str:
    """Which single change of the spec would explain the user's scores."""
    ranked = sorted(compared, key=lambda c: -abs(c.difference))
    tried_on = ranked[:_MOST_DIFFERENT] + ranked[_MOST_DIFFERENT:][-_LEAST_DIFFERENT:]
    trials = _Trials(pipeline, tried_on, images)
    nearest, words = trials.nearest(_changes_behind_the_encoder(pipeline))
    if not agree(nearest):  # encoding the cells again takes far longer
        in_front = trials.nearest(_changes_before_the_encoder(pipeline, trials.slide))
        nearest, words = min((nearest, words), in_front, key=lambda t: mean_difference(t[0]))
    before, after = mean_difference(tried_on), mean_difference(nearest)
    fall = f"the difference falls from {before:.3f} to {after:.3f} for {len(nearest)} patients"
    if agree(nearest):
        return f"most likely {words}: then {fall}, which the draws explain"
    if after < before / 2:
        return f"most likely {words}: then {fall}, but that is not all"
    return (
        "no single change of normalisation, background, colour order, mean, canvas or crop, draw "
        "size or class order explains it: are these the same cells and the same weights?"
    )


def _changes_before_the_encoder(
    pipeline: Pipeline, slide: Callable[[], Background]
) -> Iterator[tuple[Pipeline, str]]:
    """The pipeline with one step changed that the encoder sees, and what differs in words.

    Args:
        slide: gives the bare slide of these patients.
    """
    if pipeline.background is None:
        levels = slide()
        yield (
            replace(pipeline, background=levels),
            "the bare slide was brought to the same levels in every case, and the spec needs "
            f'normalise = "background" with background = {list(levels)} or so',
        )
    else:
        yield (
            replace(pipeline, background=None),
            'the bare slide was left as it is, and the spec needs normalise = "none"',
        )
    own = pipeline.preprocessing
    turned = replace(own, bgr=not own.bgr)
    order = "blue" if turned.bgr else "red"
    yield (
        replace(pipeline, preprocessing=turned),
        f"the colour order differs, and {order} comes first (bgr = {str(turned.bgr).lower()})",
    )
    for name, preprocessing in _PREPROCESSINGS.items():
        if preprocessing not in (own, turned):
            yield (
                replace(pipeline, preprocessing=preprocessing),
                f"the mean or the scale differs, and the preprocessing was {name}",
            )
    yield from _other_canvases(pipeline)


def _changes_behind_the_encoder(pipeline: Pipeline) -> Iterator[tuple[Pipeline, str]]:
    """The pipeline with one later step changed, and what differs in words."""
    other: EncodingKind = "raw" if pipeline.encoding == "l2" else "l2"
    yield (
        replace(pipeline, encoding=other),
        f'the normalisation differs, and the spec needs encoding = "{other}"',
    )
    for name in pipeline.classifier.classes_:
        if str(name) != pipeline.positive:
            yield (
                replace(pipeline, positive=str(name)),
                f"the class order differs, and these are probabilities of {str(name)!r}",
            )
    for size in _DRAW_SIZES:
        if size != pipeline.draw_size:
            yield (
                replace(pipeline, draw_size=size),
                f"the draw size differs, and the spec needs draw_size = {size}",
            )


def _other_canvases(pipeline: Pipeline) -> Iterator[tuple[Pipeline, str]]:
    differs = "the canvas or the crop differs, and"
    other: LargerCells = "crop" if pipeline.larger == "reject" else "reject"
    yield replace(pipeline, larger=other), f'{differs} the spec needs larger = "{other}"'
    yield replace(pipeline, placing="resized"), f"{differs} images were resized to the canvas"
    yield replace(pipeline, placing="in a corner"), f"{differs} cells lay in the canvas's corner"
    yield replace(pipeline, padding="zero"), f"{differs} zeros were put around preprocessed cells"
    for side in _CANVASES:
        if side != pipeline.canvas_px:
            yield (
                replace(pipeline, canvas_px=side, larger="crop"),
                f"{differs} the spec needs canvas_px = {side}",
            )


class _Trials:
    """Scores the same patients by changed pipelines, with embeddings kept while they may be."""

    def __init__(self, own: Pipeline, patients: Sequence[Compared], images: PatientImages) -> None:
        self._own = own
        self._patients = patients
        self._images = images
        self._cells: dict[tuple[int, Background | None], Cells] = {}
        self._embeddings = [
            own.embeddings(self._cells_of(number, own)) for number in range(len(patients))
        ]

    def slide(self) -> Background:
        """The bare slide of these patients."""
        return self._images.slide([patient.row for patient in self._patients])

    def _cells_of(self, number: int, pipeline: Pipeline) -> Cells:
        key = number, pipeline.background
        if key not in self._cells:
            self._cells[key] = self._images.cells(self._patients[number].row, pipeline.background)
        return self._cells[key]

    def nearest(self, changes: Iterable[tuple[Pipeline, str]]) -> tuple[list[Compared], str]:
        """Of these changes, the one after which the scores differ least, with its words.

        All are tried on a few patients, and the best on all of them: encoding takes long.
        """
        results = [(self._compared(changed, _TRIED_FIRST), changed, w) for changed, w in changes]
        _, best, words = min(
            (result for result in results if result[0]), key=lambda r: mean_difference(r[0])
        )
        return self._compared(best, len(self._patients)), words

    def _compared(self, changed: Pipeline, n_patients: int) -> list[Compared]:
        """The comparison with the changed pipeline; empty if its encoder cannot take the cells."""
        found = []
        for number, compared in enumerate(self._patients[:n_patients]):
            identities, embeddings = self._embedded(changed, number)
            if not identities:
                return []
            score, error = changed.score(identities, embeddings)
            more = _DRAWS / changed.fit_draws
            found.append(replace(compared, bundle=score, bundle_error=error, more_draws=more))
        return found

    def _embedded(self, changed: Pipeline, number: int) -> tuple[list[bytes], np.ndarray]:
        if _input_of(changed) == _input_of(self._own):
            return self._embeddings[number]
        cells = self._cells_of(number, changed)
        if changed.canvas_px == self._own.canvas_px:
            return changed.embeddings(cells)
        try:
            return changed.embeddings(cells)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - the user's encoder may refuse another canvas by any error
            return [], np.empty((0, 0), np.float32)


def _input_of(pipeline: Pipeline) -> tuple[object, ...]:
    """All that decides what the encoder sees."""
    names = ("preprocessing", "background", "canvas_px", "larger", "placing", "padding")
    return tuple(getattr(pipeline, name) for name in names)
