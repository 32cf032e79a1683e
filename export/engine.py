"""Builds a bundle's TensorRT engines ahead of time, on the PC whose GPU will run them."""

from collections.abc import Callable, Sequence

from vexas_edge.bundle.archive import Bundle
from vexas_edge.choices import PRECISIONS, Precision
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import devices_of
from vexas_edge.errors import HostError, UsageError
from vexas_edge.runtime.session import Sessions


def build_engines(
    bundle: Bundle,
    report: Callable[[str], None],
    *,
    precisions: Sequence[Precision] = (),
    models: Sequence[str] = (),
) -> int:
    """Build the engines that this PC's cache lacks; returns how many it holds then.

    Args:
        report: called with a line of text before each engine.
        precisions: the precisions wanted; if empty, all that the bundle has and that were judged.
        models: the models wanted; if empty, all.

    Raises:
        HostError: there is no TensorRT or no GPU, a precision that was named is not available, or
            an engine cannot be built or proved.
        UsageError: the bundle has no such model.
    """
    devices_of("tensorrt")
    _check_known(models, bundle)
    options = EngineOptions(engine="tensorrt", build=True, report=report)
    n_engines = 0
    for precision in precisions or PRECISIONS:
        try:
            sessions = Sessions(bundle, options, precision)
        except HostError as error:
            if precisions:
                raise
            report(f"{precision}: left out: {error}")
            continue
        with sessions:
            for model in models or bundle.manifest.models:
                report(f"{model} in {precision}")
                sessions.check(model, sessions.graph.file)
                n_engines += 1
    return n_engines


def _check_known(models: Sequence[str], bundle: Bundle) -> None:
    unknown = [name for name in models if name not in bundle.manifest.models]
    if unknown:
        raise UsageError(
            f"bundle {bundle.manifest.name} has no model {', '.join(unknown)}; "
            f"it has {', '.join(bundle.manifest.models)}"
        )
