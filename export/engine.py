"""Builds a bundle's TensorRT engines ahead of time, for this PC's GPU or for other PCs."""

from collections.abc import Callable, Iterator, Sequence

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

    TensorRT for RTX builds each for all the kinds of GPUs that it runs on, the full one for this
    PC's. On a PC with such a GPU, that GPU's engine is tested.

    Args:
        report: called with a line of text before each engine.
        precisions: the precisions wanted; if empty, all that the bundle has and that were judged.
        models: the models wanted; if empty, all.

    Raises:
        HostError: there is no TensorRT, or the full one and no GPU, a precision that was named is
            not available, or an engine cannot be built, proved or tested; the others are.
        UsageError: the bundle has no such model.
    """
    _check_known(models, bundle)
    has_gpu = _has_gpu(report)
    n_engines, refused = 0, []
    for sessions in _each_precision(bundle, report, precisions):
        for model in models or bundle.manifest.networks:
            name = f"{model} in {sessions.graph.precision}"
            report(name)
            try:
                n_engines += _built(sessions, model, has_gpu)
            except HostError as error:
                refused.append(f"{name}: {error}")
    if refused:
        raise HostError(f"{len(refused)} engines were not built: {'; '.join(refused)}")
    return n_engines


def _each_precision(
    bundle: Bundle, report: Callable[[str], None], asked: Sequence[Precision]
) -> Iterator[Sessions]:
    """Sessions of each precision that is wanted, closed when the next ones come.

    Raises:
        HostError: one that was asked for is not available.
    """
    options = EngineOptions(engine="tensorrt", build=True, report=report)
    for precision in asked or PRECISIONS:
        try:
            sessions = Sessions(bundle, options, precision)
        except HostError as error:
            if asked:
                raise
            report(f"{precision}: left out: {error}")
            continue
        with sessions:
            yield sessions


def _has_gpu(report: Callable[[str], None]) -> bool:
    """Whether engines can be tested here; if they can be built all the same, says why not."""
    try:
        devices_of("tensorrt")
    except MissingEngineError as error:
        if not builds_without_gpu():
            raise
        report(f"built without a test: {error.found}")
        return False
    return True


def _built(sessions: Sessions, model: str, has_gpu: bool) -> int:
    """How many engines of the model's graph there are, once those that were missing are built."""
    n_engines, file = 1, sessions.graph.file
    if builds_without_gpu():
        graph = sessions.bundle.model_file(model, file)
        n_engines = build_for_all_gpus(graph, sessions.fused_options(model, file))
    if has_gpu:
        sessions.check(model, file)
    return n_engines


def _check_known(models: Sequence[str], bundle: Bundle) -> None:
    unknown = [name for name in models if name not in bundle.manifest.networks]
    if unknown:
        raise UsageError(
            f"bundle {bundle.manifest.name} has no model {', '.join(unknown)}; "
            f"it has {', '.join(bundle.manifest.networks)}"
        )
