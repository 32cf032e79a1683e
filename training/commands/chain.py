"""The command that does everything: `run`."""

from pathlib import Path

import click

from vexas_edge.console import Progress, one_line

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("spec", type=_PATH)
@click.option("-o", "out", type=_PATH, required=True, help="A folder; stages done there stay.")
def run(spec: Path, out: Path) -> None:
    """From the cohort that SPEC (.toml) names to a bundle that was judged.

    Isolate, pretrain, encode, probe, evaluate, fit, export, calibrate. Each stage is done once for
    the same inputs; the same command goes on after an interruption.
    """
    from training.chain.chain import Talk
    from training.chain.run import run_chain
    from training.chain.spec import chain_from_file

    progress = Progress(spec.stem, unit="")

    def say(text: str) -> None:
        progress.clear()
        click.echo(one_line(text), err=True)

    bundle = run_chain(chain_from_file(spec), spec.parent, out, Talk(say=say, progress=progress))
    click.echo(f"bundle: {bundle}")
