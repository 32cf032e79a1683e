"""The cohort of a CellaVision export: a row for each sample of each patient.

    python examples/leukocytes/cohort.py TREE -o OUT

TREE has a folder for each patient, with `Signed slides` in it or in a folder for each sample. OUT
gets cohort.csv and sources.toml, for `vexas-workshop train typing`.
"""

import csv
import io
from pathlib import Path

import click

from vexas_edge.commands.console import run_command_line
from vexas_edge.errors import InputError
from vexas_edge.files import write_atomically

SOURCES = '[sources.hospital]\ncohort = "cohort.csv"\n'


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("tree", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "out", type=click.Path(path_type=Path), required=True, help="The folder.")
def cli(tree: Path, out: Path) -> None:
    """Write cohort.csv and sources.toml for the patients in TREE."""
    rows = rows_of(tree)
    if not rows:
        raise InputError(f"{tree} holds no folder `Signed slides` two or three levels down")
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["patient", "sample", "path", "label", "split"])
    writer.writerows(rows)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "cohort.csv", text.getvalue().encode())
    write_atomically(out / "sources.toml", SOURCES.encode())
    click.echo(f"{len({row[0] for row in rows})} patients, {len(rows)} samples: {out}")


def rows_of(tree: Path) -> list[tuple[str, str, str, str, str]]:
    """Patient, sample, path, label and split; neither label nor split is gone by."""
    rows = []
    for patient in sorted(path for path in tree.iterdir() if path.is_dir()):
        signed = [*patient.glob("Signed slides"), *patient.glob("*/Signed slides")]
        for slides in sorted(signed):
            smear = slides.parent
            sample = smear.relative_to(tree).as_posix().replace("/", "-")
            rows.append((patient.name, sample, str(smear.resolve()), "any", "fit"))
    return rows


if __name__ == "__main__":
    run_command_line(cli)
