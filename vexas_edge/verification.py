"""Whether a bundle's graphs give on this PC what they gave where the bundle was written."""

from collections.abc import Iterator

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.graphs import FUSED, HEAD, ISOLATE
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.selftest import Check
from vexas_edge.sessions import Sessions


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
