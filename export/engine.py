"""Builds a bundle's TensorRT engines ahead of time, for this PC's GPU or for other PCs."""

from collections.abc import Callable, Sequence

from vexas_edge.bundle.archive import Bundle
from vexas_edge.choices import PRECISIONS, Precision
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import devices_of
from vexas_edge.engines.tensorrt import build_for_all_gpus, builds_without_gpu
from vexas_edge.errors import HostError, MissingEngineError, UsageError
from vexas_edge.runtime.session import Sessions


def build_engines(
    bundle: Bundle,
    report: Callable[[str], None],
    *,
    precisions: Sequence[Precision] = (),
    models: Sequence[str] = (),
) -> int:
    """Build the engines that this PC's cache lacks; returns how many it holds then.

    On a PC with a GPU that TensorRT runs on, each is built for this GPU and tested on it. Without
    one, TensorRT for RTX builds each for all the kinds of GPUs that it runs on, untested.

    Args:
        report: called with a line of text before each engine.
        precisions: the precisions wanted; if empty, all that the bundle has and that were judged.
        models: the models wanted; if empty, all.

    Raises:
        HostError: there is no TensorRT, or the full one and no GPU, a precision that was named is
            not available, or an engine cannot be built or proved.
        UsageError: the bundle has no such model.
    """
    _check_known(models, bundle)
    options = EngineOptions(engine="tensorrt", build=True, report=report)
    build = _tested if _has_gpu(report) else _untested
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
                n_engines += build(sessions, model)
    return n_engines


def _has_gpu(report: Callable[[str], None]) -> bool:
    """Whether engines can be tested here; if they can be built all the same, says why not."""
    try:
        devices_of("tensorrt")
    except MissingEngineError as error:
        if not builds_without_gpu():
            raise
        report(f"built for other PCs, untested: {error.found}")
        return False
    return True


def _tested(sessions: Sessions, model: str) -> int:
    sessions.check(model, sessions.graph.file)
    return 1


def _untested(sessions: Sessions, model: str) -> int:
    file = sessions.graph.file
    graph = sessions.bundle.model_file(model, file)
    return build_for_all_gpus(graph, sessions.fused_options(model, file))


def _check_known(models: Sequence[str], bundle: Bundle) -> None:
    unknown = [name for name in models if name not in bundle.manifest.models]
    if unknown:
        raise UsageError(
            f"bundle {bundle.manifest.name} has no model {', '.join(unknown)}; "
            f"it has {', '.join(bundle.manifest.models)}"
        )
