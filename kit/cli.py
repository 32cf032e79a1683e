"""The command `vexas-workshop kit`: makes a folder for a PC without network or admin rights."""

from pathlib import Path
from typing import get_args

import click

from kit.targets import EXTRA_ENGINES, PYTHONS, System, all_targets
from vexas_edge.commands.console import echo, say


@click.command("kit", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    required=True,
    help="The bundle that the kit scores with, a .vxb file.",
)
@click.option(
    "-o",
    "to",
    type=click.Path(path_type=Path),
    required=True,
    help="The kit's folder, which must not exist yet.",
)
@click.option(
    "--system",
    type=click.Choice(get_args(System)),
    help="Include wheels for this operating system only.  [default: all]",
)
@click.option(
    "--python",
    type=click.Choice(PYTHONS),
    help="Include wheels for this version of Python only.  [default: all]",
)
@click.option(
    "--with",
    "engines",
    type=click.Choice(EXTRA_ENGINES),
    multiple=True,
    help="Include what runs this engine, too: about 100 MB of wheels for each system.",
)
def cli(
    bundle: Path, to: Path, system: str | None, python: str | None, engines: tuple[str, ...]
) -> None:
    """Make a folder from which a PC without network or admin rights can install and score.

    It holds the wheels and their hashes, scripts that install and that score, and the bundle.

    \b
    Example:
      vexas-workshop kit --bundle site.vxb --system windows --python 3.12 -o small-kit
      vexas-workshop kit --bundle site.vxb --with tensorrt -o kit-for-gpus
    """
    from kit.contents import write_kit

    targets = [
        target
        for target in all_targets()
        if system in (None, target.system) and python in (None, target.python)
    ]
    write_kit(bundle, to, targets, say, engines)
    echo(f"kit: {to.resolve()}")
