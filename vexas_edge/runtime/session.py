"""A bundle's graphs, loaded into engines on this PC and kept for the next case."""

from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import (
    ENCODINGS,
    Feeds,
    GraphContract,
    cells_tensor,
    contract_of,
)
from vexas_edge.bundle.graphs import (
    BESIDE_FUSED,
    FAMILIAR,
    FUSED,
    GOLDEN,
    HEAD,
    REFERENCE,
    precision_of,
)
from vexas_edge.bundle.site import KnownSite
from vexas_edge.choices import Precision
from vexas_edge.domain.reference import Reference, reference_from_bytes
from vexas_edge.engines.contract import Engine, EngineOptions
from vexas_edge.engines.opening import abilities_of, calls_on_cpu, device_of, open_engine
from vexas_edge.errors import BundleError, UsageError
from vexas_edge.host.process import default_threads
from vexas_edge.results.values import SiteId
from vexas_edge.runtime.call_limits import CallLimits
from vexas_edge.runtime.choice import cells_per_call, choose, key_on_this_pc
from vexas_edge.runtime.selftest import (
    Check,
    check_engine,
    check_head,
    check_shapes,
    golden_from_npz,
)
from vexas_edge.typing.familiar import Familiar, familiar_from_bytes


def reference_of(bundle: Bundle, model: str) -> Reference | None:
    """What the model's training patients looked like; None if the bundle does not say.

    Raises:
        BundleError: it is damaged, of another model, or was made with other statistics.
    """
    entry = bundle.manifest.networks[model]
    if REFERENCE not in entry.files:
        return None
    reference = reference_from_bytes(bundle.model_file(model, REFERENCE))
    stated = entry.files[REFERENCE].measured.get("patients")
    if (len(reference.mean), reference.n_patients) != (entry.encoding_width, stated):
        raise BundleError(
            f"{bundle.path}: {REFERENCE} of model {model!r} is of {reference.n_patients} patients "
            f"and encodings of {len(reference.mean)}, but the manifest says {stated} and "
            f"{entry.encoding_width}; make it anew with `vexas-workshop train reference`"
        )
    return reference


class Sessions:
    """The engines of a bundle's graphs, opened on first use and closed together.

    The head always runs in onnxruntime on the CPU, so that scores do not depend on the engine.
    Unless it is the reference graph in the reference engine, any other graph must pass its
    self-test before its first call, or must have passed it in `vexas-edge prepare`. An engine that
    gives encodings alone is tested each time, as its calls cannot be checked against the head.
    """

    def __init__(
        self,
        bundle: Bundle,
        options: EngineOptions | None = None,
        precision: Literal["auto"] | Precision = "auto",
        site: KnownSite | None = None,
        types: Bundle | None = None,
    ) -> None:
        """Choose engine and graph; nothing is loaded yet.

        Args:
            site: what was found of this bundle where these sessions score; without it, as where a
                bundle itself is measured, every domain gate is as the bundle has it.
            types: a bundle whose models name cells, in place of those that the bundle may have.

        Raises:
            UsageError: the site file is of another bundle, or `types` has no such model.
            HostError: the precision asked for is not available on this PC with this bundle.
        """
        if site and site.site.bundle.sha256 != bundle.sha256:
            raise UsageError(
                f"the site file is of another bundle, of hash {site.site.bundle.sha256}; that to "
                f"score with has {bundle.sha256}"
            )
        if types and not types.manifest.typing:
            raise UsageError(f"{types.path} holds no model that names cells")
        self.bundle, self.site = bundle, site
        self.types = types
        # A precision that was asked for is the scores'; what names cells chooses its own.
        self._typers = Sessions(types, options) if types else None
        self.options, self.graph = choose(bundle, options or EngineOptions(), precision)
        self._opened: dict[tuple[str, str, EngineOptions], Engine] = {}
        self._references: dict[str, Reference | None] = {}
        self._familiar: dict[str, Familiar | None] = {}
        self._stack = ExitStack()

    @property
    def typers(self) -> "Sessions | None":
        """The engines of the models that name cells; None where there are none."""
        return self._typers or (self if self.bundle.manifest.typing else None)

    @property
    def threads(self) -> int:
        """How many threads decode, place cells and call the engine."""
        return self.options.threads or default_threads()

    @cached_property
    def on_gpu(self) -> bool:
        """Whether the fused graphs run on a GPU."""
        return device_of(self.options) != "cpu"

    @cached_property
    def limits(self) -> CallLimits:
        """How many cells a call of the GPU has memory for, as far as that was ever too many."""
        way = f"{self.options.engine} {self.graph.precision}"
        return CallLimits(key_on_this_pc(self.bundle), way)

    def contract(self, model: str, file: str) -> GraphContract:
        """The inputs and outputs of one of the model's graphs."""
        return contract_of(self.bundle.manifest.networks[model], file)

    def cells_per_call(self, model: str) -> int:
        """The most cells of the model that the chosen engine is given in one call.

        It stays the same as long as these engines are open.
        """
        cells = cells_tensor(self.bundle.manifest.networks[model].instances)
        size = cells_per_call(self.options, cells)
        return self.limits.at_first(model, size) if self.on_gpu else size

    def fused(self, model: str, file: str = "") -> Engine:
        """The engine of the model's fused graph, for many threads that each make their own calls.

        Args:
            file: the name of the graph's file; empty means the chosen graph.
        """
        file = file or self.graph.file
        return self._engine(model, file, self.fused_options(model, file))

    def fused_options(self, model: str, file: str) -> EngineOptions:
        """How the engine of one of the model's fused graphs is opened."""
        return replace(
            self.options,
            calls_at_once=self.threads,
            rows=self.contract(model, file).rows(self.cells_per_call(model)),
            precision=precision_of(file),
        )

    def fused_alone(self, model: str) -> Engine:
        """The chosen graph in an engine of its own, for calls of a cell that use all threads."""
        options = replace(
            self.options,
            rows=self.contract(model, self.graph.file).rows(block=1),
            precision=precision_of(self.graph.file),
        )
        return self._engine(model, self.graph.file, options)

    def head(self, model: str) -> Engine:
        """The engine of the model's head, on the CPU."""
        on_cpu = EngineOptions(engine="onnxruntime", device="cpu", threads=self.options.threads)
        return self._engine(model, HEAD, on_cpu)

    def beside(self, model: str, file: str) -> Engine:
        """The engine of a graph that each cell passes first, on the CPU, for many threads."""
        return self._engine(model, file, calls_on_cpu(self.options.threads))

    def classify(
        self, model: str, encodings: NDArray[np.float32], inputs: Feeds
    ) -> dict[str, NDArray[Any]]:
        """The head's outputs by name.

        Args:
            encodings: float32 (N, D).
            inputs: what else the head takes, by name.
        """
        feeds = self.contract(model, HEAD).feeds({ENCODINGS: encodings, **inputs})
        return self.head(model).run(feeds)

    def reference(self, model: str) -> Reference | None:
        """The model's `reference_of` the bundle, read once."""
        if model not in self._references:
            self._references[model] = reference_of(self.bundle, model)
        return self._references[model]

    def familiar(self, model: str) -> Familiar | None:
        """What a model's cells looked like that it was fitted on, read once; None if unknown.

        Raises BundleError where what it says is damaged, or of another model.
        """
        if model not in self._familiar:
            entry = self.bundle.manifest.networks[model]
            data = self.bundle.model_file(model, FAMILIAR) if FAMILIAR in entry.files else None
            width = entry.encoding_width
            self._familiar[model] = familiar_from_bytes(data, width) if data else None
        return self._familiar[model]

    @property
    def site_id(self) -> SiteId | None:
        """The site file that these sessions score with, for the record."""
        return self.site.id if self.site else None

    def centre(self, model: str) -> NDArray[np.float64] | None:
        """Where the site's encodings lie, float64 (D,); None where it does not open this model."""
        found = self.site.site.models[model] if self.site else None
        return np.array(found.centre) if found and found.opened else None

    def check(self, model: str, file: str) -> Check:
        """Run the self-test of one graph in the engine that runs it here.

        Raises:
            HostError: the graph returns other numbers than were recorded.
        """
        if file == HEAD:
            engine = self.head(model)
        else:
            of = self.beside if file in BESIDE_FUSED else self.fused
            engine = of(model, file)
        return self._self_test(model, file, engine)

    def used(self) -> Engine | None:
        """An engine that has a fused graph, for the record; None if none was opened yet."""
        return next((e for (_, f, _), e in self._opened.items() if f not in BESIDE_FUSED), None)

    def _engine(self, model: str, file: str, options: EngineOptions) -> Engine:
        key = (model, file, options)
        if key not in self._opened:
            with ExitStack() as opening:  # an engine that fails here is closed and not kept
                graph = self.bundle.model_file(model, file)
                engine = opening.enter_context(open_engine(graph, options))
                contract = self.contract(model, file)
                of_cells = file not in BESIDE_FUSED and not self.run_whole_graphs
                check_shapes(model, file, engine, contract.of_cells() if of_cells else contract)
                if not self._is_trusted(file):
                    self._self_test(model, file, engine)
                self._stack.push(opening.pop_all())
            self._opened[key] = engine
        return self._opened[key]

    def _self_test(self, model: str, file: str, engine: Engine) -> Check:
        golden = golden_from_npz(self.bundle.model_file(model, GOLDEN))
        if file in BESIDE_FUSED or self.run_whole_graphs:
            return check_engine(model, file, engine, self.contract(model, file), golden)
        check_head(model, self.head(model), self.contract(model, HEAD), golden)
        # In a call as large as those of scoring, or as the GPU has memory for.
        contract = self.contract(model, file)
        check = partial(check_engine, model, file, engine, contract, golden)
        return self.limits.within_memory(model, self.cells_per_call(model), check)

    @property
    def run_whole_graphs(self) -> bool:
        """Whether the chosen engine gives probabilities, too, which can be checked in each case."""
        return abilities_of(self.options.engine).whole

    def _is_trusted(self, file: str) -> bool:
        """Whether the graph needs no self-test: it is the reference, or `prepare` has tested it."""
        reference = self.options.engine == "onnxruntime" and file == FUSED
        proved = self.graph.proved and file == self.graph.file and self.run_whole_graphs
        # Nothing that `prepare` goes by changes with the driver of an Intel GPU.
        proved = proved and device_of(self.options) != "intel-gpu"
        return file == HEAD or reference or proved

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._opened.clear()
        self._stack.close()
        if self._typers:
            self._typers.__exit__(*raised)
