"""Quality lights: what was looked at in a model's cells, whether it is in order, and what to do."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from vexas_edge.domain.faults import SEEN
from vexas_edge.quality.families import Family, family_of
from vexas_edge.results.grounds import DomainFinding, Statistic
from vexas_edge.results.values import ModelScore

LightState = Literal["in order", "look", "fault", "not compared"]

# A statistic this far outside its training range, in widths of that range, is worth a look. Of 40
# clean cases that a reference had not seen, 2 had such a one.
_FAR = 0.5
_NOT_COMPARED = "they were not compared with those of training patients"
# What may be the matter with single images, and what to do.
_UNREADABLE = ("cannot be read", "export or copy the smear again")
_REJECTED = ("show no whole cell, or several", "look for touching or cut cells")
_COPIES = ("show another image's cell", "find out where they come from")
_OTHER_LIGHT = ("in other light than the rest", "are they of this smear?")
_OTHER_SIZE = ("of another size than the rest", "are they of this smear?")
# Faults of the cells, not of single images, that the domain gate finds beside the families.
_OF_CELLS = {"foreign cells": "kind of cells", "duplicates": "variety of cells"}
_GATES = {
    "foreign cells": ("foreign case", "foreign cells"),
    "duplicates": ("duplicates", "same statistics"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """One thing that was looked at.

    found: what was seen.
    remedy: what to do about it; empty where it is in order.
    """

    name: str
    state: LightState
    found: str
    remedy: str = ""


def lights_of(model: ModelScore) -> tuple[Light, ...]:
    """The lights of one model's cells."""
    return (*_of_counts(model), *_of_images(model))


def enough_cells(model: ModelScore) -> Light:
    """Whether there are as many as the model needs."""
    enough = model.n_cells >= model.minimum_cells
    return Light(
        name="enough cells",
        state="in order" if enough else "fault",
        found=f"{model.n_cells}; at least {model.minimum_cells} are needed",
        remedy="" if enough else "add more cells",
    )


def _of_counts(model: ModelScore) -> Iterator[Light]:
    """How many cells there are, and how many images something is the matter with."""
    statuses = Counter(cell.status for cell in model.cells)
    remarks = Counter(remark for cell in model.cells for remark in cell.remarks)
    yield enough_cells(model)
    for name, number, code, what, remedy in (
        ("readable images", model.n_unreadable, "too_many_unreadable", *_UNREADABLE),
        ("whole cells", model.n_rejected, "too_many_rejected", *_REJECTED),
        ("no image twice", statuses["duplicate"], "", *_COPIES),
        ("even light", remarks["other_light"], "", *_OTHER_LIGHT),
        ("even size", remarks["other_size"], "", *_OTHER_SIZE),
    ):
        state: LightState = "fault" if code in model.reasons else "look"
        found = f"{what}: {number} of {len(model.cells)} images"
        yield (
            Light(name=name, state=state, found=found, remedy=remedy)
            if number
            else Light(name=name, state="in order", found=f"{what}: none")
        )


def _of_images(model: ModelScore) -> Iterator[Light]:
    """How the images compare with those of the training patients."""
    texts = dict(zip(model.reasons, model.explanations, strict=True))
    for name in (*get_args(Family), *_OF_CELLS):
        code = next((code for code in _codes_of(name) if code in texts), "")
        if code == name.replace(" ", "_"):
            yield _fault(name)
        elif code:
            yield Light(name=name, state="fault", found=texts[code])
        elif model.domain is not None:
            of_gates = name in _OF_CELLS
            yield (_of_gates if of_gates else _of_family)(name, model.domain)
    if "unlike_training" in texts:
        yield Light(name="the whole", state="fault", found=texts["unlike_training"])
    if model.domain is None:
        yield Light(name="the images", state="not compared", found=_NOT_COMPARED)


def _fault(name: str) -> Light:
    """The light of a fault, in the domain gate's words."""
    seen, remedy = SEEN[name]
    return Light(
        name=_OF_CELLS.get(name, name), state="fault", found=seen, remedy=f"check {remedy}"
    )


def _codes_of(name: str) -> tuple[str, ...]:
    """The reasons to abstain, of this model or of another one's slide, that mean this light."""
    own = (name.replace(" ", "_"), *(("lamp",) if name == "exposure" else ()))
    return (*own, *(f"slide_{code}" for code in own))


def _of_family(name: str, domain: DomainFinding) -> Light:
    """The light of a family of statistics that the model gives no reason for."""
    if domain.family == name:
        return _fault(name)
    of_family = {n: s for n, s in domain.statistics.items() if family_of(n) == name}
    far = [statistic for statistic in map(_widths_outside, of_family.values()) if statistic > _FAR]
    if not far:
        return Light(name=name, state="in order", found="as in training")
    return Light(
        name=name,
        state="look",
        found=f"{len(far)} of {len(of_family)} measures lie far outside their training range",
        remedy=f"check {SEEN[name][1]}",
    )


def _of_gates(name: str, domain: DomainFinding) -> Light:
    """The light of what gates of the cells' encodings say."""
    heights = [domain.gates[gate] for gate in _GATES[name] if gate in domain.gates]
    if not heights:
        return Light(name=_OF_CELLS[name], state="not compared", found=_NOT_COMPARED)
    if max(heights) > max(domain.gates.values()) - domain.margin:
        return _fault(name)
    return Light(name=_OF_CELLS[name], state="in order", found="as in training")


def _widths_outside(statistic: Statistic) -> float:
    """How far a statistic lies outside its training range, in widths of that range."""
    outside = max(statistic.low - statistic.value, statistic.value - statistic.high, 0.0)
    width = statistic.high - statistic.low
    return outside / width if width else outside * float("inf") if outside else 0.0
