"""From a site's slides to what its site file says."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vexas_edge.bundle.site import (
    LONGEST_LABEL,
    SITE_SCHEMA,
    Site,
    SiteBundle,
    SiteModel,
)
from vexas_edge.commissioning.describing import families_seen, images_of_site
from vexas_edge.commissioning.opening import JudgedModel, judge_site
from vexas_edge.commissioning.slides import SeenCase
from vexas_edge.errors import UsageError
from vexas_edge.runtime.session import Sessions
from vexas_edge.version import __version__


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """The analyzer that made the images, and the version of its software.

    Raises:
        UsageError: one of them is empty, too long, or cannot be shown.
    """

    name: str
    software: str

    def __post_init__(self) -> None:
        for what, text in (("instrument", self.name), ("software", self.software)):
            if not text.strip() or len(text) > LONGEST_LABEL or not text.isprintable():
                raise UsageError(
                    f"{what} is {text[:LONGEST_LABEL]!r}; expected a name of 1 to {LONGEST_LABEL} "
                    "characters on one line"
                )


def commission_site(
    seen: Sequence[SeenCase], n_cases: int, instrument: Instrument, sessions: Sessions
) -> Site:
    """What is found of a bundle at a site.

    Args:
        seen: the cases that could be read, all with a label or none.
        n_cases: how many there were.
        sessions: of the bundle, without a site file.

    Raises:
        InputError: no cell of any of them can be read.
        HostError, BundleError: as `score_case`.
    """
    manifest = sessions.bundle.manifest
    images, judged = images_of_site(seen), judge_site(seen, sessions)
    return Site(
        schema_version=SITE_SCHEMA,
        bundle=SiteBundle(
            name=manifest.name, version=manifest.version, sha256=sessions.bundle.sha256
        ),
        instrument=instrument.name,
        software=instrument.software,
        commissioned=datetime.now(UTC).isoformat(timespec="seconds"),
        vexas_edge=__version__,
        n_cases=n_cases,
        n_failed=n_cases - len(seen),
        images=images,
        models={name: _of_model(name, seen, one, sessions) for name, one in judged.items()},
    )


def _of_model(
    name: str, cases: Sequence[SeenCase], judged: JudgedModel, sessions: Sessions
) -> SiteModel:
    answers = [score.status == "scored" for score in judged.scores]
    reasons = Counter(reason for score in judged.scores for reason in set(score.reasons))
    return SiteModel(
        n_scored=answers.count(True),
        n_abstained=answers.count(False),
        reasons=dict(sorted(reasons.items())),
        families=families_seen(cases, name, sessions.reference(name)),
        known=judged.known,
        opened=judged.centre is not None,
        why_not=judged.why_not,
        centre=tuple(judged.centre.tolist()) if judged.centre is not None else (),
    )
