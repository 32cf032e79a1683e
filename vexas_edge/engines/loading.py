"""What every engine needs before it can load a graph."""

import os
import re
import sys
from pathlib import Path

from vexas_edge.choices import EngineName
from vexas_edge.errors import HostError

# The key of a tensor's external data, as protobuf writes a string of eight characters.
_EXTERNAL_DATA = re.compile(rb"[\x08\x00]location")


def refuse_external_data(graph: bytes, engine: EngineName) -> None:
    """Pass if the ONNX graph keeps all its weights itself, where they were hashed.

    Raises:
        HostError: it refers to another file.
    """
    if _EXTERNAL_DATA.search(graph):
        raise HostError(f"{engine} was given a graph that refers to another file; it is refused")


def find_windows_runtime() -> None:
    """Let libraries find Microsoft's C++ runtime where the `msvc-runtime` wheel has put it.

    That is the environment's own folder, in which Windows does not look by itself.
    """
    if sys.platform == "win32" and Path(sys.prefix, "msvcp140.dll").is_file():
        os.add_dll_directory(sys.prefix)
