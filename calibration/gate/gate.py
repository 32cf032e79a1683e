"""The gate: judges the cheaper graphs of one model, whichever kind of model it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from onnx import ModelProto

from calibration.gate.cases import OpenedCase
from calibration.gate.figures import failures, gate_result
from calibration.gate.judgement import REFERENCE, judge
from calibration.gate.naming import judge_naming, naming_failures, naming_result
from calibration.gate.smears import Smear
from calibration.gate.verdict import AnyResult
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.graphs import HEAD
from vexas_edge.talk import Progress

# The figures of a graph, and a sentence for each that is over its budget.
JudgedKind: TypeAlias = tuple[AnyResult | None, Sequence[str]]
NOT_JUDGED: JudgedKind = (None, ())
Graphs: TypeAlias = Mapping[str, ModelProto | bytes]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What graphs are judged on.

    calibration_encodings: the reference's encodings of calibration's cells; None for fp16.
    warn: takes one line about what is not used.
    """

    smears: Sequence[OpenedCase]
    calibration_encodings: np.ndarray | None
    progress: Progress
    warn: Callable[[str], None]

    def judged(self, bundle: Bundle, name: str, graphs: Graphs) -> dict[str, JudgedKind]:
        """Each cheaper graph of a model, judged beside the reference.

        Args:
            graphs: by kind, the reference included.

        Raises:
            InputError: the smears do not suffice.
        """
        names_cells = name in bundle.manifest.typing
        return (self._naming if names_cells else self._scores)(bundle, name, graphs)

    def _naming(self, bundle: Bundle, name: str, graphs: Graphs) -> dict[str, JudgedKind]:
        smears = [smear for smear in self.smears if isinstance(smear, Smear)]
        judgement = judge_naming(smears, bundle, name, graphs, self.progress)
        self._warn_unused(judgement.unreadable)
        found: dict[str, JudgedKind] = {}
        for kind in graphs.keys() - {REFERENCE}:
            result = naming_result(judgement, kind, self.calibration_encodings)
            found[kind] = (result, naming_failures(result, bundle.manifest.budgets.of(kind)))
        return found

    def _scores(self, bundle: Bundle, name: str, graphs: Graphs) -> dict[str, JudgedKind]:
        head = bundle.model_file(name, HEAD)
        judgement = judge(self.smears, bundle, name, head, graphs, self.progress)
        self._warn_unused(judgement.unreadable)
        if judgement.abstained:
            named = ", ".join(judgement.abstained)
            self.warn(f"model {name}: smears not used, as they have too few cells: {named}")
        threshold = bundle.manifest.models[name].threshold
        found: dict[str, JudgedKind] = {}
        for kind in graphs.keys() - {REFERENCE}:
            result = gate_result(judgement, kind, threshold, self.calibration_encodings)
            found[kind] = (result, failures(result, bundle.manifest.budgets.of(kind)))
        return found

    def _warn_unused(self, texts: Sequence[str]) -> None:
        for text in texts:
            self.warn(f"not used: {text}")
