"""A bundle's graphs, loaded on this PC's engine and kept for the next case."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal, Self

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.graphs import FUSED, GOLDEN, HEAD, ISOLATE, precision_of
from vexas_edge.cells.canvas import Canvas
from vexas_edge.engines.contract import Engine, EngineOptions, Precision
from vexas_edge.engines.opening import open_engine
from vexas_edge.errors import BundleError
from vexas_edge.host.process import default_threads
from vexas_edge.runtime.choice import choose
from vexas_edge.runtime.isolator import MASK_SHAPES, Isolator, mask_options
from vexas_edge.runtime.selftest import Check, check_engine, golden_from_npz

# Pixels a call: 4 cells of 272 px. Larger calls gain no speed and cost memory.
_PIXELS_A_CALL = 4 * 272 * 272
_MOST_CELLS_A_CALL = 32


def most_cells_a_call(canvas_px: int) -> int:
    """How many cells an engine is given at once, at most, where nobody says otherwise."""
    return min(_MOST_CELLS_A_CALL, max(1, _PIXELS_A_CALL // canvas_px**2))


class Sessions:
    """The engine of each of a bundle's models, opened on first use, closed together.

    The head always runs in onnxruntime on the CPU, so that scores do not depend on the engine. Any
    other than the reference engine and graph passes its self-test before its first call, unless
    `vexas-edge prepare` has seen it pass.
    """

    def __init__(
        self,
        bundle: Bundle,
        options: EngineOptions | None = None,
        precision: Literal["auto"] | Precision = "auto",
    ) -> None:
        """Choose engine and graph; nothing is loaded yet.

        Raises:
            HostError: the precision asked for is not to be had on this PC with this bundle.
        """
        self.bundle = bundle
        self.options, self.graph = choose(bundle, options or EngineOptions(), precision)
        self._opened: dict[tuple[str, str, EngineOptions], Engine] = {}
        self._stack = ExitStack()

    def fused(self, model: str, file: str = "") -> Engine:
        """The model's fused graph, the chosen one if none is named, where the options say.

        Each thread makes calls of its own.
        """
        file = file or self.graph.file
        options = replace(
            self.options,
            calls_at_once=self.options.threads or default_threads(),
            cells_a_call=most_cells_a_call(self.bundle.manifest.models[model].canvas_px),
            precision=precision_of(file),
        )
        return self._engine(model, file, options)

    def fused_alone(self, model: str) -> Engine:
        """The same graph in an engine of its own whose every call has all threads.

        TensorRT's is the same engine: it was built before, and a GPU has no threads to share.
        """
        if self.options.engine == "tensorrt":
            return self.fused(model)
        options = replace(self.options, cells_a_call=1)
        return self._engine(model, self.graph.file, options)

    def head(self, model: str) -> Engine:
        """The model's head, on the CPU."""
        on_cpu = EngineOptions(engine="onnxruntime", device="cpu", threads=self.options.threads)
        return self._engine(model, HEAD, on_cpu)

    def canvas(self, model: str) -> Canvas:
        """How the model's cells are put before it; isolated first, where it wants that."""
        entry = self.bundle.manifest.models[model]
        isolate = None
        if entry.isolation is not None:
            isolate = Isolator(engine=self.masks(model), limits=entry.isolation)
        return Canvas(canvas_px=entry.canvas_px, larger=entry.larger, isolate=isolate)

    def masks(self, model: str) -> Engine:
        """The model's mask network, on the CPU."""
        return self._engine(model, ISOLATE, mask_options(self.options.threads))

    def check(self, model: str, file: str) -> Check:
        """The self-test of one graph in the engine that runs it here.

        Raises:
            HostError: it gives other numbers than were recorded.
        """
        if file == ISOLATE:
            engine = self.masks(model)
        else:
            engine = self.head(model) if file == HEAD else self.fused(model, file)
        golden = golden_from_npz(self.bundle.model_file(model, GOLDEN))
        return check_engine(model, file, engine, golden)

    def used(self) -> Engine | None:
        """Some engine that ran a fused graph, for the record; None before the first."""
        others = (HEAD, ISOLATE)
        return next((e for (_, f, _), e in self._opened.items() if f not in others), None)

    def _engine(self, model: str, file: str, options: EngineOptions) -> Engine:
        key = (model, file, options)
        if key not in self._opened:
            engine = open_engine(self.bundle.model_file(model, file), options)
            self._opened[key] = self._stack.enter_context(engine)
            self._check_shapes(model, file, engine)
            if not self._is_trusted(file):
                self.check(model, file)
        return self._opened[key]

    def _is_trusted(self, file: str) -> bool:
        """Whether the graph needs no self-test now: the reference engine's, or `prepare` did it."""
        reference = self.options.engine == "onnxruntime" and file == FUSED
        proved = self.graph.proved and file == self.graph.file
        return file == HEAD or reference or proved

    def _check_shapes(self, model: str, file: str, engine: Engine) -> None:
        manifest, entry = self.bundle.manifest, self.bundle.manifest.models[model]
        n_classes = len(manifest.classes)
        expected: dict[str, tuple[int | None, ...]] = {
            "draws": (None, entry.aggregation.draw_size),
            "encodings": (None, entry.encoding_width),
            "probabilities": (None, n_classes),
            "decisions": (None, n_classes * (n_classes - 1) // 2),
        }
        if file != HEAD:
            expected["cells"] = (None, entry.canvas_px, entry.canvas_px, 3)
        if file == ISOLATE:
            expected = MASK_SHAPES
        for name, shape in expected.items():
            if engine.shapes.get(name) != shape:
                raise BundleError(
                    f"{self.bundle.path}: {file} of model {model!r} has {name} of shape "
                    f"{engine.shapes.get(name)}, the manifest says {shape}; the bundle "
                    "contradicts itself, export it again"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._opened.clear()
        self._stack.close()


def run_selftest(bundle: Bundle, options: EngineOptions) -> Iterator[Check]:
    """Each graph's check, as it is done: masks, reference, head, and what `score` would run.

    Raises:
        HostError: this PC cannot run a graph, or gives other numbers than the reference did.
    """
    with Sessions(bundle, options) as sessions:
        for model in bundle.manifest.models:
            masks = [ISOLATE] if bundle.manifest.models[model].isolation else []
            for file in dict.fromkeys((*masks, FUSED, HEAD, sessions.graph.file)):
                yield sessions.check(model, file)
