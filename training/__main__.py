"""The command `python -m training`."""

from pathlib import Path

import click

from training.commands.chain import run
from training.commands.isolate import isolate, segmenter
from training.commands.judge import evaluate, fit, probe
from training.commands.learn import pretrain
from training.commands.make import encode, synth
from vexas_edge.console import run_command_line


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Make what vexas-edge runs with."""


@cli.command("demo-bundle")
@click.option(
    "-o", "out", type=click.Path(path_type=Path), default=Path("vexas_edge/demo"), show_default=True
)
def demo_bundle(out: Path) -> None:
    """Rebuild the synthetic demonstration that ships inside the wheel."""
    from training.demo_bundle import build_demo

    build_demo(out)
    for file in sorted(out.iterdir()):
        click.echo(f"{file}: {file.stat().st_size} bytes")


for _command in (run, synth, segmenter, isolate, pretrain, encode, probe, evaluate, fit):
    cli.add_command(_command)

if __name__ == "__main__":
    run_command_line(cli)
