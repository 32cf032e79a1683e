"""Writes a probe for people: a table, probe.json and a heat map."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from training.encodings.probe import PairProbe, probe_pairs
from training.encodings.table import Encodings
from training.patients.plots import heat_map
from vexas_edge.files import write_atomically


def write_probe(
    found: Encodings, order: Sequence[str], title: str, folder: Path
) -> tuple[PairProbe, ...]:
    """Probe every pair of groups, and write `probe.json` and `probe.png` to the folder."""
    probes = probe_pairs(found.encodings, found.groups, order or None)
    folder.mkdir(parents=True, exist_ok=True)
    lines = json.dumps([asdict(pair) for pair in probes], indent=2)
    write_atomically(folder / "probe.json", lines.encode() + b"\n")
    write_atomically(folder / "probe.png", heat_map(probes, title))
    return probes


def text_from_probes(probes: Sequence[PairProbe]) -> str:
    """The table as text, with one line per pair."""
    lines = [f"{'first':16}{'second':16}{'cells':>6}{'5 neighbours':>14}{'SVM':>10}"]
    lines += [
        f"{pair.first:16}{pair.second:16}{pair.n:>6}{pair.knn_auc:>14.6f}{pair.svm_auc:>10.6f}"
        for pair in probes
    ]
    return "\n".join(lines)
