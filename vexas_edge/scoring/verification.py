"""The self-tests of a whole bundle, one after the other."""

from collections.abc import Iterator

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.graphs import BESIDE_FUSED, FUSED, HEAD
from vexas_edge.bundle.models import Images
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.runtime.selftest import Check
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.images.canvases import check_canvas


def run_selftest(bundle: Bundle, options: EngineOptions) -> Iterator[Check]:
    """Check each model's normalising and mask network, its reference, head and chosen graph.

    Yields each outcome.

    Raises:
        HostError: this PC cannot run a graph, or it returns other numbers than the reference did.
        BundleError: what a model's training patients looked like cannot be read.
    """
    with Sessions(bundle, options) as sessions:
        for model, entry in bundle.manifest.networks.items():
            sessions.reference(model)  # it must be one that scoring can use
            if isinstance(entry.instances, Images) and entry.images.background is not None:
                yield check_canvas(sessions, model)
            beside = [file for file in BESIDE_FUSED if file in entry.files and file != HEAD]
            for file in dict.fromkeys((*beside, FUSED, HEAD, sessions.graph.file)):
                yield sessions.check(model, file)
