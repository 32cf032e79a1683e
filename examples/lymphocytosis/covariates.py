"""Covariates beside the SVM of medians: the count, the age and the sex, alone and with the image.

    python examples/lymphocytosis/covariates.py COHORT_DIR OUT --lines FILE.jsonl

Judges the encoder as it is, whose encodings `contrastive.py` left in OUT, by `vexas-workshop train
evaluate`: properly nested, by five folds of all patients, and by ten halvings. A line of figures is
appended to FILE.jsonl.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from contrastive import ENCODINGS, FROZEN, run_training
from run import POSITIVE

from vexas_edge.commands.console import run_command_line

COVARIATES = ("age_years=years", "sex", "lymphocyte_count_e9_per_l=10^9/L")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("cohort_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--lines", type=click.Path(path_type=Path), required=True, help="The .jsonl file.")
@click.option("--C", "cost", default="10", show_default=True, help="Of the SVM.")
def cli(cohort_dir: Path, out: Path, lines: Path, cost: str) -> None:
    """Judge the covariates of the cohort in COHORT_DIR beside the encodings in OUT."""
    encodings = next(iter(sorted(out.glob(f"fold-*/{FROZEN}/{ENCODINGS}"))))
    of_svm = ["--C", cost, "--balanced", "--fixed", "--halvings"]
    beside = [f"--covariate={name}" for name in COVARIATES]
    known = ["--positive", POSITIVE, "--cohort", str(cohort_dir / "cohort.csv")]
    run_training("evaluate", str(encodings), *known, *of_svm, *beside, "-o", str(out / "beside"))
    found = json.loads((out / "beside" / "covariates.json").read_text(encoding="utf-8"))
    with lines.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"C": cost, **dict(figures(found))}) + "\n")


def figures(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The figures of `covariates.json` without those of single patients."""
    nested = found["nested"]
    yield "how", nested["how"]
    for kind in nested["kinds"]:
        kept = ("separation", "balanced_accuracy", "brier", "slope")
        yield kind["kind"], {name: kind[name] for name in kept}
    for pair in nested["differences"]:
        name = f"{pair['first']} less {pair['second']}"
        yield name, {name: pair[name] for name in ("roc_auc", "balanced_accuracy")}
    for kind in found["halvings"]:
        two = {name: kind[name] for name in ("roc_auc", "balanced_accuracy")}
        yield f"{kind['kind']}, halvings", two


if __name__ == "__main__":
    run_command_line(cli)
