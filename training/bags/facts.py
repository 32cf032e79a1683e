"""What the file of a trained bag says beside its weights."""

from dataclasses import asdict

from export.bags.bag_file import BagFacts, BagOfImages, Regression
from training.bags.bags import Bags
from training.bags.learning import TaughtBags
from training.judging.joining import BOTH, IMAGE, Joining
from training.patients.phenotype import other_group

# Options that are facts of their own, or name a file of this PC.
_ELSEWHERE = ("backbone", "preprocessing", "encoding", "aggregation", "start")


def bag_facts(bags: Bags, positive: str, taught: TaughtBags, joining: Joining) -> BagFacts:
    """The facts of what all patients taught."""
    options, covariates = taught.training.options, joining.covariates
    kept = {name: value for name, value in asdict(options).items() if name not in _ELSEWHERE}
    in_network = joining.joined and bool(covariates)
    return BagFacts(
        positive=positive,
        others=other_group(bags.groups, positive),
        instances=BagOfImages(
            canvas_px=bags.cells.side_px,
            background=bags.background,
            backbone=options.backbone,
            preprocessing=options.preprocessing,
        ),
        encoding=options.encoding,
        aggregation=options.aggregation,
        middle=joining.middle,
        spread=joining.spread,
        covariates=covariates,
        image=_regression(joining, IMAGE if covariates else next(iter(joining.kinds))),
        both=_regression(joining, BOTH) if covariates else None,
        in_network=in_network,
        training={**kept, "epochs": taught.epochs, "patients": len(bags)},
    )


def _regression(joining: Joining, kind: str) -> Regression | None:
    found = joining.kinds.get(kind)
    if found is None:
        return None
    return Regression(
        weights=tuple(found.stack.weights.tolist()),
        bias=found.stack.bias,
        threshold=found.threshold,
    )
