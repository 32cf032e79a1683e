"""The bundle's manifest: its fields, their limits, and the reading that checks them."""

from collections.abc import Set
from typing import Any

import msgspec
from msgspec import Struct

from vexas_edge.bundle.budgets import Budgets
from vexas_edge.bundle.graphs import FEATURES_FILE, ISOLATE, REQUIRED_FILES
from vexas_edge.bundle.models import (
    FileEntry,
    Images,
    Instances,
    Medians,
    Model,
    Network,
    TypingModel,
    Vectors,
)
from vexas_edge.covariates.covariate import problem_of_covariates
from vexas_edge.errors import BundleError
from vexas_edge.fields import Name
from vexas_edge.smear.vocabulary import CELL_CLASSES, SUBCLASSES

MANIFEST_SCHEMA = 7

# The class of all patients who are not in the positive one, where they are of several groups.
OTHERS = "others"


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole manifest.

    positive: the class whose probability is the score; null without models of patients.
    lead: the model whose call is the case's; null where several have equal say.
    synthetic: whether the bundle was made from drawn cells; every result then says so.
    models: of patients, by name.
    typing: models that name cells, in the order in which they are asked.
    """

    schema_version: int
    name: Name
    version: str
    created: str
    positive: str | None
    lead: str | None
    synthetic: bool
    models: dict[Name, Model] = {}
    typing: dict[Name, TypingModel] = {}
    files: dict[str, FileEntry]
    provenance: dict[str, Any]
    intended_use: str
    budgets: Budgets = Budgets()

    @property
    def networks(self) -> dict[str, Network]:
        """All models by name, each of which has its own graphs: of patients, then of cells."""
        return {**self.models, **self.typing}

    @property
    def takes_tables(self) -> bool:
        """Whether its models' cells are rows of tables, and not images."""
        return any(isinstance(one.instances, Vectors) for one in self.networks.values())

    @property
    def positive_class(self) -> str:
        """The class that models of patients look for.

        Raises BundleError where there is none, since the bundle only names cells.
        """
        if self.positive is None:
            raise BundleError(f"bundle {self.name} only names cells, and has no positive class")
        return self.positive

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of patients, of all models, once each."""
        names = (name for model in self.models.values() for name in model.classes)
        return tuple(dict.fromkeys(names))

    def class_of(self, label: str) -> str | None:
        """The class that patients of this label are in; None if there is none for them."""
        classes = self.classes
        return label if label in classes else OTHERS if OTHERS in classes else None


class _AnySchema(Struct):
    schema_version: int


CARD = "card.md"
_OLDER = (
    "make it anew, as with `vexas-workshop export bundle SPEC.toml -o NAME.vxb` or `vexas-workshop "
    "train run`, or use the vexas-edge that wrote it"
)
_NEWER = "use the vexas-edge that wrote it, or a newer one"


def manifest_from_json(text: bytes) -> Manifest:
    """The manifest, complete and consistent.

    Raises:
        BundleError: the text is not JSON or is of another schema version, or a field is missing,
            unknown, of the wrong type or out of its range; the message names the field.
    """
    try:
        version = msgspec.json.decode(text, type=_AnySchema).schema_version
        if version != MANIFEST_SCHEMA:
            remedy = _OLDER if version < MANIFEST_SCHEMA else _NEWER
            raise BundleError(
                f"the bundle has schema version {version}; this vexas-edge reads version "
                f"{MANIFEST_SCHEMA}: {remedy}"
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"the bundle's manifest.json is not valid: {error}") from error
    check_consistency(manifest)
    return manifest


def json_from_manifest(manifest: Manifest) -> bytes:
    """The manifest as indented JSON in a fixed order, so that equal manifests have equal bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def check_consistency(manifest: Manifest) -> None:
    """Check that nothing that the manifest says contradicts the rest of it.

    Raises:
        BundleError: something does.
    """
    if CARD not in manifest.files:
        raise BundleError(f"manifest.json lists no {CARD}; a bundle must say what it is for")
    if not manifest.networks:
        raise BundleError("manifest.json lists no model")
    if len({type(one.instances) for one in manifest.networks.values()}) > 1:
        raise BundleError("manifest.json: some models take images, and some tables")
    if manifest.typing and manifest.takes_tables:
        raise BundleError("manifest.json: models that name cells take images, and no tables")
    if twice := sorted(manifest.models.keys() & manifest.typing.keys()):
        raise BundleError(f"manifest.json: two models are called {twice[0]!r}")
    if (manifest.positive is None) != (not manifest.models):
        raise BundleError(
            f"manifest.json: positive is {manifest.positive!r} with {len(manifest.models)} models "
            "of patients"
        )
    if manifest.lead is not None and manifest.lead not in manifest.models:
        raise BundleError(f"manifest.json: lead model {manifest.lead!r} is not in the bundle")
    problems = {n: _problem_of(m, manifest.positive or "") for n, m in manifest.models.items()}
    given: set[str] = set()
    for name, model in manifest.typing.items():
        problems[name] = _problem_of_typing(model, given)
        given |= model.limits.keys()
    for name, network in manifest.networks.items():
        if problem := problems[name] or _problem_of_network(network):
            raise BundleError(f"manifest.json: model {name!r} {problem}")


def _problem_of(model: Model, positive: str) -> str:
    """What contradicts itself in the entry of a model of patients; empty if nothing does."""
    if bool(model.cells) != isinstance(model.instances, Images):
        return f"accepts cells of the classes {model.cells}, which only a model of images has"
    if unknown := [cell for cell in model.cells if cell not in CELL_CLASSES]:
        return f"takes cells of unknown class {', '.join(unknown)}"
    if positive not in model.classes:
        return f"has classes {model.classes}, without the positive class {positive!r}"
    return _problem_of_bag(model, positive)


def _problem_of_typing(model: TypingModel, given: Set[str]) -> str:
    """The same of a model that names cells.

    Args:
        given: the names that models before it give.
    """
    named = (*model.classes, *model.limits, *model.of)
    if unknown := [name for name in named if name not in CELL_CLASSES]:
        return f"names cells of unknown class {', '.join(unknown)}"
    if not isinstance(model.aggregation, Medians) or model.aggregation.draw_size != 1:
        return "names cells, and looks at more than one at a time"
    own = set(model.classes)
    wide = {name for name, finer in SUBCLASSES.items() if own & {name, *finer}}
    if strange := [name for name in model.limits if name not in own | wide]:
        return f"has limits for {', '.join(strange)}, which its classes do not make up"
    if bool(model.of) != bool(given):
        return "names anew what no model before it names" if model.of else "is never asked"
    if strange := [name for name in model.of if name not in given]:
        return f"names anew cells called {', '.join(strange)}, which no model before it gives"
    return ""


def _problem_of_network(model: Network) -> str:
    """The same of what all models have."""
    if len(set(model.classes)) != len(model.classes):
        return f"has classes {model.classes}, which repeat a name"
    if problem := _problem_of_instances(model.instances):
        return problem
    required = (*REQUIRED_FILES, *_files_of(model.instances))
    if missing := [file for file in required if file not in model.files]:
        return f"lists no {', '.join(missing)}"
    unsafe = (f for f in model.files if "/" in f or "\\" in f or f.startswith("."))
    return next((f"has the unsafe file name {file!r}" for file in unsafe), "")


def _problem_of_instances(instances: Instances) -> str:
    if isinstance(instances, Vectors):
        positive = (instances.library_size, instances.clip)
        if any(value is not None and not 0 < value < float("inf") for value in positive):
            return f"scales by library_size and clip of {positive}; expected more than 0"
        return ""
    if (instances.normalise == "background") != (instances.background is not None):
        return (
            f"has normalise = {instances.normalise!r} and background = {instances.background}, "
            "which contradict each other"
        )
    return ""


def _files_of(instances: Instances) -> list[str]:
    """What a model has beside what all have."""
    if isinstance(instances, Vectors):
        return [FEATURES_FILE]
    return [ISOLATE] if instances.isolation else []


def _problem_of_bag(model: Model, positive: str) -> str:
    names = [covariate.name for covariate in model.covariates]
    if isinstance(model.aggregation, Medians):
        return "takes covariates, which only a bag can" if names else ""
    if len(model.classes) != 2:
        return f"is a bag with {len(model.classes)} classes; it has two"
    if model.classes[1] != positive:
        return f"is a bag that looks for {model.classes[1]!r}, and not for {positive!r}"
    if problem := problem_of_covariates(model.covariates):
        return f"takes covariates of which {problem}"
    if model.aggregation.level == "position" and model.aggregation.weighting != "learned":
        return f"weighs positions by {model.aggregation.weighting}; only learned weights can"
    if model.aggregation.image_alone and not names:
        return "gives a score without covariates, and takes none"
    return ""
