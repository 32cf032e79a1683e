"""Libraries that would write or send something unasked are loaded with that off, by one function.

`tests/offline.py` watches every command for what these tests promise.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vexas_edge.host.libraries import LOUD

ROOT = Path(__file__).parents[1]
LOADER = "vexas_edge/host/libraries.py"
OURS = ("vexas_edge", "export", "calibration", "training", "kit")
FOLDERS = (*OURS, "benchmarks", "examples", "tests")
FILES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(__file__)  # its examples are what it forbids
)
IMPORTERS = ("import_module", "importorskip", "__import__")
SWITCHES = ("CI", "ORT_DISABLE_TELEMETRY", "MPLCONFIGDIR", "KERAS_HOME", "NUMBA_CACHE_DIR")


def statement(node: ast.AST) -> list[str]:
    """The modules that this node imports, if it is a statement that does."""
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported: by a statement, by a call, by code in a string."""
    nodes = list(ast.iter_child_nodes(tree))
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        yield from statement(node)
        if isinstance(node, ast.Call) and node.args:
            called, first = ast.unparse(node.func).rpartition(".")[2], node.args[0]
            if called in IMPORTERS and isinstance(first, ast.Constant):
                yield str(first.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"(?:^|[;:\n])\s*(?:import|from) ([\w.]+)", node.value)


def loud(code: str) -> list[str]:
    """The imports of loud libraries in the code."""
    return [name for name in imported(ast.parse(code)) if name.partition(".")[0] in LOUD]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_loud_library_is_loaded_by_load_library_alone(path: Path) -> None:
    found = loud(path.read_text(encoding="utf-8"))
    assert found == [], f"use `load_library` of {LOADER}"


@pytest.mark.parametrize(
    "code",
    [
        "import onnxruntime as ort",
        "def f():\n    from matplotlib.figure import Figure",
        "importlib.import_module('openvino.frontend')",
        "pytest.importorskip('keras')",
        "run(python, '-c', 'import sys\\nimport nncf')",
        "if not TYPE_CHECKING:\n    import onnxruntime",
    ],
)
def test_another_way_would_be_found(code: str) -> None:
    (name,) = loud(code)
    assert name.partition(".")[0] in LOUD


def test_types_may_be_named() -> None:
    assert loud("if TYPE_CHECKING:\n    from onnxruntime import InferenceSession") == []


def python(code: str, home: Path, **set_: str) -> str:
    """What the code prints in a process of a user with an empty folder and without our switches."""
    environment = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    environment = {name: v for name, v in environment.items() if not name.startswith("XDG_")}
    environment |= {"HOME": str(home), "VEXAS_EDGE_CACHE": str(home / "cache"), **set_}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_no_other_library_imports_a_loud_one(tmp_path: Path) -> None:
    """Else it would have to be loaded by `load_library`, too."""
    beside = {path.stem for path in FILES} | {*FOLDERS, *sys.stdlib_module_names, *LOUD}
    beside |= {"cuda", "tensorrt"}  # what the tests do without
    names = {
        name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in statement(node)
        if name.partition(".")[0] not in beside
    }
    assert {"torch", "skl2onnx", "skops.io", "PIL"} <= names
    code = f"import sys\nfor name in {sorted(names)}: __import__(name)\nprint(*sys.modules)"
    tops = {name.partition(".")[0] for name in python(code, tmp_path).split()}
    assert tops.isdisjoint({*LOUD, "openvino_telemetry"})


def test_loading_a_loud_library_leaves_nothing_in_the_users_folder(tmp_path: Path) -> None:
    modules = (*LOUD, "keras.applications", "matplotlib.figure", "onnxruntime.quantization")
    code = (
        "from vexas_edge.host.libraries import load_library\n"
        f"for name in {modules}:\n"
        "    try: load_library(name)\n"
        "    except ImportError as error: print(error)\n"
        "import sys; print(sys.modules['openvino_telemetry'])"
    )
    assert python(code, tmp_path, KERAS_BACKEND="torch").endswith("None\n")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert kept <= {"matplotlib", "keras", "numba"}


def test_a_place_that_the_user_has_chosen_stays(tmp_path: Path) -> None:
    code = (
        "import os\n"
        "from vexas_edge.host.libraries import switch_off\n"
        "switch_off(); print(os.environ['MPLCONFIGDIR'], os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    found = python(code, tmp_path, MPLCONFIGDIR="chosen", ORT_DISABLE_TELEMETRY="0")
    assert found == "chosen 1\n"
