"""The command `vexas-workshop train`."""

import click

from training.commands.background import background
from training.commands.bags import bags
from training.commands.chain import demo_bundle, run
from training.commands.expression import expression, synth_tables
from training.commands.isolate import isolate, segmenter
from training.commands.judge import evaluate, fit, probe
from training.commands.learn import pretrain
from training.commands.make import encode, synth
from training.commands.reference import reference
from training.commands.typing import blind, types, typing


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train encoders and classifiers on labelled smears, and judge them by patient.

    \b
    Example:
      vexas-workshop train synth -o work/cohort --patients 70 --strength 1 --crops
      cp examples/vexas/spec.toml work/
      vexas-workshop train run work/spec.toml -o work/stages
    """


for _command in (
    run,
    demo_bundle,
    synth,
    segmenter,
    background,
    isolate,
    pretrain,
    encode,
    probe,
    evaluate,
    fit,
    bags,
    typing,
    types,
    blind,
    expression,
    synth_tables,
    reference,
):
    cli.add_command(_command)
