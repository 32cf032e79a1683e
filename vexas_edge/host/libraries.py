"""Libraries that would write, send or look up something unasked, imported with that switched off.

    onnxruntime     queues an event with the OS, the CPU and Python's path in the user's folder, and
                    looks up the name of the host that collects it
    openvino, nncf  look up the name of a host for statistics, and write an identifier of the user
    matplotlib      writes the list of this PC's fonts into the user's folder
    keras           writes its settings into the user's folder
    umap            by numba, keeps compiled code beside its own, or else in the user's folder

No other file imports them (`tests/test_libraries.py`). A library that does such things is named in
`LOUD`, and `switch_off` gets what silences it. torch is not named, as it does nothing when it is
imported; but it would leave an empty folder among the temporary files when it trains or exports.
"""

import os
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from vexas_edge.host.cache import cache_folder

LOUD = ("onnxruntime", "openvino", "nncf", "matplotlib", "keras", "umap")


def load_library(module: str) -> Any:
    """Import one of `LOUD`, or a module of it, once `switch_off` has silenced all of them.

    All, because they import each other: nncf imports openvino, and keras may import four of them.

    Raises:
        ImportError: the library is not installed, or does not load on this PC.
    """
    assert module.partition(".")[0] in LOUD, f"{module} needs no switch; import it"
    switch_off()
    _find_windows_runtime()
    return import_module(module)


def switch_off() -> None:
    """Silence the libraries of `LOUD`, for this process and, where it can, for those it starts.

    onnxruntime reads its variable when it is imported; `disable_telemetry_events()` is too late.
    OpenVINO has no switch, but does without the package that would send its statistics.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # None is Python's way to say that there is no such module.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))
    os.environ.setdefault("KERAS_HOME", str(cache_folder() / "keras"))
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / "numba"))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "torch"))


@cache
def _find_windows_runtime() -> None:
    """Let libraries find Microsoft's C++ runtime that the `msvc-runtime` wheel has installed.

    The wheel puts it into the environment's own folder, where Windows does not look by itself.
    """
    if sys.platform == "win32" and Path(sys.prefix, "msvcp140.dll").is_file():
        os.add_dll_directory(sys.prefix)
