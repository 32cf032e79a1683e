"""What is done before any engine loads a graph."""

import re

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
