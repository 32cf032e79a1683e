"""The work of the stage `probe`: the encoder is judged by labelled cells."""

from dataclasses import dataclass
from pathlib import Path

from training.chain.tasks.encode import EncodeInputs, encodings_of
from training.encodings.probe_report import write_probe
from training.encodings.table import write_encodings
from training.talk import Talk


@dataclass(frozen=True, kw_only=True)
class ProbeInputs:
    """What is encoded, and how it is compared.

    encode: the cells, with labels, and their encoder.
    groups: labels to compare, in order; by default all.
    title: of the heat map.
    libraries: what the figures depend on besides.
    """

    encode: EncodeInputs
    groups: tuple[str, ...]
    title: str
    libraries: dict[str, str]


def make_probe(to: Path, given: ProbeInputs, talk: Talk) -> None:
    """Write the encodings with their metadata, `probe.json` and `probe.png`."""
    found = encodings_of(given.encode, talk)
    write_encodings(found, to)
    write_probe(found, given.groups, given.title, to)
