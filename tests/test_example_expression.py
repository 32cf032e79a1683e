"""The example of gene expression: its README's commands lead from drawn cells to scores."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "examples" / "expression" / "README.md"


def test_drawn_cells_become_a_bundle_that_tells_ill_patients(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in block.splitlines():
        done = subprocess.run(
            shlex.split(command),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": path},
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    calls = {}
    for file in sorted((tmp_path / "scored" / "cases").iterdir()):
        result = json.loads(file.read_text())
        calls[result["case"]] = (result["status"], result["call"])
    assert calls == {f"P{n + 1:02}": ("scored", n % 2 == 0) for n in range(12)}
    assert "synthetic = true" in (tmp_path / "taught" / "spec.toml").read_text()
    report = json.loads((tmp_path / "taught" / "expression.json").read_text())
    assert report["cases"]["feedforward"]["overall"]["roc_auc"] > 0.9
    assert set(report["judged"]) > {"feedforward", "logistic", "anova", "pca", "one_gene"}
