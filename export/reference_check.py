"""Proves that a finished bundle gives the scores that the user's own pipeline gave."""

from collections.abc import Mapping
from typing import Any

from export.bags.bag_file import TrainedBag
from export.reference_scores import PatientImages, compare_with_reference, figures
from export.reference_trials import Pipeline, check_reference
from export.sources import ModelSources
from vexas_edge.bundle.archive import Bundle


def names_reference(sources: ModelSources) -> bool:
    """Whether the spec names scores to compare the model's with."""
    return sources.spec.reference_scores is not None


def reference_figures(bundle: Bundle, sources: Mapping[str, ModelSources]) -> dict[str, Any]:
    """For each model whose spec names scores of the user's own, how far the bundle's are from them.

    Raises:
        InputError: the scores or their cohort cannot be used.
        ParityError: the bundle's scores differ from them; the message says which step does.
    """
    return {
        name: _figures(bundle, name, model)
        for name, model in sources.items()
        if names_reference(model)
    }


def _figures(bundle: Bundle, name: str, sources: ModelSources) -> dict[str, Any]:
    spec, folder = sources.spec, sources.folder
    scores, cohort = folder / (spec.reference_scores or ""), folder / (spec.cohort or "")
    reading, classifier = spec.reading.options(folder), sources.decides
    assert not isinstance(classifier, TrainedBag)  # whose spec names no scores
    compared = compare_with_reference(bundle, name, scores, cohort, reading)
    pipeline = Pipeline(
        encode=sources.encoder.reference,
        classifier=classifier,
        preprocessing=sources.preprocessing,
        encoding=sources.encoding,
        background=spec.background,
        canvas_px=spec.canvas_px,
        larger=spec.larger,
        draw_size=spec.draw_size,
        fit_draws=spec.fit_draws,
        positive=bundle.manifest.positive_class,
    )
    with sources.canvas() as canvas:
        images = PatientImages(classes=spec.cells, canvas=canvas, reading=reading)
        check_reference(compared, name, scores, pipeline, images)
    return figures(compared, spec.threshold)
