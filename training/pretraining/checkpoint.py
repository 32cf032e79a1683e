"""Checkpoints of a training run: tensors and JSON in one file, which cannot run code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim import Optimizer

from vexas_edge.errors import InputError, UsageError
from vexas_edge.files import write_atomically

_KEY = "run"  # the JSON's key in the metadata of a safetensors file


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a training run.

    tensors: by name, in groups made by `parted`.
    options: everything that the result depends on.
    history: a record per epoch.
    """

    tensors: dict[str, Tensor]
    options: dict[str, Any]
    history: list[dict[str, Any]]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one group, by their names without the group's."""
        start = f"{name}."
        return {key[len(start) :]: t for key, t in self.tensors.items() if key.startswith(start)}


def parted(**parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Named groups of tensors as one dict, for `Checkpoint.part`; each tensor is copied."""
    return {
        f"{part}.{key}": tensor.detach().cpu().contiguous().clone()
        for part, tensors in parts.items()
        for key, tensor in tensors.items()
    }


def moments_of(optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": tensor for i, own in state.items() for name, tensor in own.items()}


def load_moments(optimizer: Optimizer, named: Mapping[str, Tensor]) -> None:
    """Load into an optimizer of the same parameters what `moments_of` gave."""
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in named.items():
        place, name = key.split(".", 1)
        moments.setdefault(int(place), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write the checkpoint; if that fails, the file that was there before stays."""
    facts = json.dumps({"options": checkpoint.options, "history": checkpoint.history})
    write_atomically(path, save(checkpoint.tensors, metadata={_KEY: facts}))


def read_checkpoint(path: Path, options: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint in a file, if it is of a run with these options.

    Raises:
        UsageError: it is of a run with other options; the message names the first that differ.
        InputError: it is damaged or not a checkpoint of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        found = Checkpoint(tensors=tensors, **facts)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is damaged or not a checkpoint of vexas-workshop: {error}"
        ) from error
    wanted = json.loads(json.dumps(options))
    differing = [
        f"{name} was {found.options.get(name)!r}, now {wanted.get(name)!r}"
        for name in sorted(found.options.keys() | wanted.keys())
        if found.options.get(name) != wanted.get(name)
    ]
    if differing:
        raise UsageError(
            f"{path} is of another run ({'; '.join(differing[:3])}); use the same options or "
            "another folder, or delete the file to start again"
        )
    return found
