"""The work of the stage `fit`: the SVM is fitted on patients."""

from dataclasses import dataclass
from pathlib import Path

import skops.io

from training.chain.inputs import GivenCells
from training.chain.tasks.patients import EncodedCells, patients_of
from training.patients.aggregates import with_enough_cells
from training.patients.classifier import SvmOptions, check_calibrated, fit_classifier
from training.patients.phenotype import against_others
from training.talk import Talk
from vexas_edge.files import write_atomically

CLASSIFIER = "classifier.skops"


@dataclass(frozen=True, kw_only=True)
class FitInputs:
    """Whose cells the SVM learns from, and how.

    cohort: the rows to fit on.
    minimum_cells: patients with fewer are left out.
    libraries: what the SVM depends on besides.
    """

    encoded: EncodedCells
    cohort: GivenCells
    positive: str
    minimum_cells: int
    svm: SvmOptions
    libraries: dict[str, str]


def make_classifier(to: Path, given: FitInputs, _: Talk) -> None:
    """Write `classifier.skops`."""
    known = with_enough_cells(patients_of(given.encoded, given.cohort), given.minimum_cells)
    classifier = fit_classifier(against_others(known, given.positive), given.svm)
    check_calibrated(classifier)
    write_atomically(to / CLASSIFIER, skops.io.dumps(classifier))
