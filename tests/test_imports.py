"""What is imported when: a quick start, and a runtime that never needs the workshop."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import vexas_edge

PACKAGE = Path(vexas_edge.__file__).parent
HEAVY = ("numpy", "onnxruntime", "PIL", "msgspec")
WORKSHOP = ("export", "training", "calibration")
NOT_AT_THE_EDGE = (
    *WORKSHOP,
    *("torch", "sklearn", "onnx", "skl2onnx", "skops", "scipy", "safetensors", "onnxscript"),
)
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(PACKAGE)], "vexas_edge.")
    if not module.name.endswith("__main__")
)


def python(code: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert ended.returncode == 0, ended.stderr
    return ended


def loaded_after(code: str) -> set[str]:
    """Top-level modules that are loaded once the code has run."""
    shown = "import sys; print('\\n' + ' '.join({m.partition('.')[0] for m in sys.modules}))"
    return set(python(f"{code}\n{shown}").stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments", ["--version", "--help", "score --help", "scan --help", "demo --help", "bogus"]
)
def test_saying_what_it_is_loads_nothing_heavy(arguments: str) -> None:
    code = (
        f"import sys; sys.argv = ['vexas-edge', *{arguments.split()}]\n"
        "from vexas_edge.commands.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass"
    )
    assert loaded_after(code).isdisjoint((*HEAVY, *NOT_AT_THE_EDGE))


def test_the_interpreters_own_record_of_imports_says_so_too() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "vexas_edge", "--version"]
    record = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    imported = {line.rpartition("|")[2].strip() for line in record.splitlines()}
    assert "vexas_edge.commands.cli" in imported
    assert imported.isdisjoint(HEAVY)


def test_importing_the_package_loads_nothing_else() -> None:
    assert loaded_after("import vexas_edge").isdisjoint((*HEAVY, *NOT_AT_THE_EDGE, "click"))


def test_the_library_face_is_three_functions() -> None:
    assert vexas_edge.__all__ == ["open_bundle", "read_case", "read_table", "score_case"]
    for name in vexas_edge.__all__:
        assert getattr(vexas_edge, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'score_smear'"):
        vexas_edge.score_smear  # noqa: B018 - the access is the test


def test_every_module_can_be_imported_without_the_workshop() -> None:
    blocker = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {NOT_AT_THE_EDGE}:\n"
        "            raise ModuleNotFoundError(f'{name} is not at the edge')\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    assert "vexas_edge.engines.onnxruntime" in MODULES
    assert len(MODULES) > 20
    imports = (
        "from importlib import import_module\n"
        "from vexas_edge.errors import HostError\n"
        f"for name in {MODULES}:\n"
        "    try: import_module(name)\n"
        "    except HostError as error:\n"  # an engine whose library this PC lacks
        "        assert name.startswith('vexas_edge.engines.'), name\n"
        "        assert ' cannot be loaded ' in str(error)"
    )
    assert loaded_after(blocker + imports).isdisjoint(NOT_AT_THE_EDGE)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_no_module_names_the_workshop(path: Path) -> None:
    named = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports by a relative path"
            named.add((node.module or "").partition(".")[0])
    assert named.isdisjoint(NOT_AT_THE_EDGE)
