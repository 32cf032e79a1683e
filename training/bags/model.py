"""The trained model of bags as one file: all weights, and how scores and covariates are joined."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from safetensors.torch import save
from torch import Tensor

from training.bags.learning import TaughtBags
from training.bags.trainer import BagOptions
from training.judging.joining import Joining

_KEY = "bags"  # the JSON's key in the metadata of the safetensors file


@dataclass(frozen=True, kw_only=True)
class BagModel:
    """A model that was trained on all patients.

    positive: the group whose probability is the score, against all others.
    epochs: how many it was trained for.
    joining: regressions and thresholds, by the scores of these patients out of fold.
    encoder: the weights of the whole backbone, by its own names.
    head: those of the layers behind it.
    """

    positive: str
    options: BagOptions
    epochs: int
    joining: Joining
    encoder: dict[str, Tensor]
    head: dict[str, Tensor]

    def file(self) -> bytes:
        """The content of a safetensors file, with everything but the weights as JSON beside them.

        Weights are called `encoder.NAME` and `head.NAME`.
        """
        named = {f"encoder.{name}": tensor for name, tensor in self.encoder.items()}
        named |= {f"head.{name}": tensor for name, tensor in self.head.items()}
        facts = {
            "positive": self.positive,
            "options": asdict(self.options) | {"start": None},
            "epochs": self.epochs,
            "joining": _builtins(self.joining),
        }
        copies = {name: tensor.detach().contiguous().clone() for name, tensor in named.items()}
        return save(copies, metadata={_KEY: json.dumps(facts)})


def bag_model(positive: str, taught: TaughtBags, joining: Joining) -> BagModel:
    """The model of what the patients to fit on taught."""
    training = taught.training
    state = training.network.state_dict()
    return BagModel(
        positive=positive,
        options=training.options,
        epochs=taught.epochs,
        joining=joining,
        encoder=dict(training.backbone.state_dict()),
        head={name: t for name, t in state.items() if not name.startswith("late.")},
    )


def _builtins(joining: Joining) -> dict[str, Any]:
    return {
        "middle": joining.middle,
        "spread": joining.spread,
        "joined": joining.joined,
        "covariates": [msgspec.to_builtins(covariate) for covariate in joining.covariates],
        "kinds": {
            name: {
                "weights": kind.stack.weights.tolist(),
                "bias": kind.stack.bias,
                "threshold": kind.threshold,
            }
            for name, kind in joining.kinds.items()
        },
    }
