"""What is done before any engine loads a graph."""

import os
import re
import sys
from pathlib import Path

from vexas_edge.choices import EngineName
from vexas_edge.errors import HostError

# The key of a tensor's external data, as protobuf writes a string of eight characters.
_EXTERNAL_DATA = re.compile(rb"[\x08\x00]location")


def refuse_external_data(graph: bytes, engine: EngineName) -> None:
    """Check that the ONNX graph itself holds all its weights, so that the hash covers them.

    Raises:
        HostError: it refers to another file.
    """
    if _EXTERNAL_DATA.search(graph):
        raise HostError(
            f"{engine} was given a graph that refers to another file; it is refused, because "
            "weights outside the graph are not hashed"
        )


def find_windows_runtime() -> None:
    """Let libraries find Microsoft's C++ runtime that the `msvc-runtime` wheel has installed.

    The wheel puts it into the environment's own folder, where Windows does not look by itself.
    """
    if sys.platform == "win32" and Path(sys.prefix, "msvcp140.dll").is_file():
        os.add_dll_directory(sys.prefix)
