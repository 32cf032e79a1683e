"""The work of the stage `mask-network` for a network that is trained already."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from training.chain.inputs import GivenFile
from training.talk import Talk
from vexas_edge.bundle.graphs import ISOLATE


@dataclass(frozen=True, kw_only=True)
class NetworkInputs:
    """The mask network, as ONNX."""

    network: GivenFile


def copy_network(to: Path, given: NetworkInputs, _: Talk) -> None:
    """Write `isolate.onnx`."""
    shutil.copyfile(given.network.path, to / ISOLATE)
