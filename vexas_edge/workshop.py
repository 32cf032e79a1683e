"""The command `vexas-workshop`, and the workshop's bundle writer for notebooks.

The workshop trains, exports and calibrates. It lives in a checkout of this project, in folders
beside this package, and is not part of the wheel. This is the only file of the package that refers
to it. It makes sure that what runs is the workshop beside this very package, and not a module of
the user's own that happens to be called `export` or `training`.
"""

import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from vexas_edge.commands.console import run_command_line
from vexas_edge.errors import HostError
from vexas_edge.host.libraries import switch_off

# Each command group, and the module that defines it as `cli`.
GROUPS = {
    "train": "training.commands.cli",
    "export": "export.cli",
    "calibrate": "calibration.cli",
    "kit": "kit.cli",
}
PACKAGES = ("training", "export", "calibration", "kit")

_ROOT = Path(__file__).resolve().parents[1]
_SETUP = 'python -m pip install -c constraints.txt -e ".[workshop]"'


class _Workshop(click.Group):
    """The workshop's command groups, each imported only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in GROUPS:
            return None
        load_workshop()
        command: click.Command = _imported(GROUPS[cmd_name]).cli
        return command


@click.command(cls=_Workshop, context_settings={"help_option_names": ["-h", "--help"]})
def workshop() -> None:
    """Train, export and calibrate the models that vexas-edge runs; needs a checkout of the project.

    \b
    Example:
      vexas-workshop export init -o spec.toml
      vexas-workshop export bundle spec.toml -o site.vxb
    """


def write_bundle(spec: Any, **arguments: Any) -> Any:
    """Export a bundle from objects in memory, by the workshop's `export.write_bundle`.

    Args:
        spec: the spec's fields, as its TOML file would hold them.
        arguments: `to`, `encoder` and `classifier`, as `export.write_bundle` takes them.

    Raises:
        HostError: the workshop is not installed, lacks a package, or is hidden by other modules.

    Any network of torch and any fitted classifier of scikit-learn that the README names will do:

    >>> neutrophil = {"cells": ["neutrophil_segmented"], "preprocessing": "torchvision"}
    >>> neutrophil |= {"canvas_px": 160, "larger": "crop", "encoding": "l2"}
    >>> neutrophil |= {"parity_cells": str(demo / "smear.zip")}
    >>> spec = {"name": "site", "version": "1.0.0", "positive": "VEXAS"}
    >>> spec["models"] = {"neutrophil": neutrophil}
    >>> encoder, classifier = trained_encoder(), fitted_classifier()
    >>> manifest = write_bundle(
    ...     spec, encoder=encoder, classifier=classifier, to=folder / "site.vxb"
    ... )
    >>> manifest.classes, manifest.models["neutrophil"].medians.draw_size
    (('MDS', 'VEXAS'), 10)
    """
    load_workshop()
    return _imported("export.assembly").write_bundle(spec, **arguments)


def load_workshop() -> None:
    """Import the workshop's packages from the checkout that contains this package.

    Libraries are silenced before, also for a module of the user's own that a spec names.

    Raises:
        HostError: this package is not in a checkout, or other modules of the same names would be
            imported instead.
    """
    missing = [name for name in PACKAGES if not (_ROOT / name / "__init__.py").is_file()]
    if missing:
        raise HostError(
            "the workshop (training, export, calibration) is not part of the installed package; "
            f"clone the project's repository and run `{_SETUP}` in it"
        )
    for name in PACKAGES:
        _refuse_others(name)
    if str(_ROOT) in sys.path:
        sys.path.remove(str(_ROOT))
    sys.path.insert(0, str(_ROOT))  # also for the processes that the workshop starts
    switch_off()
    for name in PACKAGES:
        import_module(name)


def _refuse_others(name: str) -> None:
    """Check that neither PYTHONPATH nor an earlier import puts another module in its place."""
    places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    found = PathFinder.find_spec(name, places)
    loaded = sys.modules.get(name)
    places_taken = (
        (
            "PYTHONPATH",
            found.origin if found else None,
            "unset PYTHONPATH, or rename that module",
        ),
        (
            "an earlier import",
            _origin(loaded) if loaded else None,
            "start a new process or notebook kernel that does not import that module",
        ),
    )
    for how, origin, remedy in places_taken:
        if origin is not None and Path(origin).resolve().parent != _ROOT / name:
            raise HostError(
                f"{how} puts {origin} in the place of the workshop's package {name!r}; {remedy}"
            )


def _origin(module: ModuleType) -> str:
    return module.__file__ or str(module)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in (*PACKAGES, "vexas_edge"):
            raise
        raise HostError(
            f"the workshop needs the package {error.name!r}; run `{_SETUP}` in {_ROOT}"
        ) from error


def run_workshop() -> None:
    """Entry point of the command `vexas-workshop`."""
    run_command_line(workshop)


if __name__ == "__main__":
    run_workshop()
