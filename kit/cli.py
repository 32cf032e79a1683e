"""`vexas-workshop kit`: a folder for a PC without network or admin rights."""

from pathlib import Path
from typing import get_args

import click

from kit.targets import PYTHONS, System, all_targets


@click.command("kit", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    required=True,
    help="The bundle that the kit scores with, a .vxb file.",
)
@click.option("-o", "to", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--system", type=click.Choice(get_args(System)), help="Only for this system.")
@click.option("--python", type=click.Choice(PYTHONS), help="Only for this Python.")
def cli(bundle: Path, to: Path, system: str | None, python: str | None) -> None:
    """Gather wheels, hashes, what installs and what scores, a BUNDLE and the demo's smear."""
    from kit.contents import write_kit

    targets = [
        target
        for target in all_targets()
        if system in (None, target.system) and python in (None, target.python)
    ]
    write_kit(bundle, to, targets, lambda line: click.echo(line, err=True))
    click.echo(f"kit: {to.resolve()}")
