"""The command `python -m calibration`."""

from pathlib import Path

import click

from vexas_edge.console import run_command_line
from vexas_edge.errors import InputError

NOT_FIT = 4


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Make a bundle's graphs cheaper, and prove that they are still the same model."""


@cli.command()
@click.argument("graph", type=click.Path(path_type=Path))
def preflight(graph: Path) -> int:
    """Say what TensorRT 11 would refuse or silently change in GRAPH, each with its remedy.

    Static rules from NVIDIA's documentation; TensorRT itself is not needed and not asked.
    Exit status: 0 nothing found, 4 something found, 5 unreadable.
    """
    import onnx

    from calibration.preflight import preflight as find

    try:
        model = onnx.load(graph)
    except Exception as error:
        raise InputError(f"{graph} is not a readable ONNX file: {error}") from error
    findings = find(model)
    for finding in findings:
        click.echo(f"{finding.rule}: {finding.where}: {finding.message}; {finding.remedy}")
    click.echo(f"{graph}: {len(findings)} findings for TensorRT 11", err=True)
    return NOT_FIT if findings else 0


if __name__ == "__main__":
    run_command_line(cli)
