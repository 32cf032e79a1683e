"""A bundle's TensorRT engines, built ahead of time on the PC with the GPU that will run them."""

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
    """Build what this PC's cache does not hold yet; gives how many engines are there now.

    Args:
        report: called with what is being done, a line each.
        precisions: those wanted; none of them stands for all that the bundle has, judged.
        models: those wanted; none of them stands for all.

    Raises:
        HostError: there is no TensorRT or no GPU, a precision that was named is not to be had, or
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
