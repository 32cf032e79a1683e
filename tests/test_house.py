"""The plan of the house: which file may import which, and what is said in one place only.

Everything here is read from the syntax trees; nothing is imported.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from training.chain.source import at_import

ROOT = Path(__file__).parents[1]
WORKSHOP = ("export", "calibration", "training", "kit")

# The floors of `vexas_edge`, from the ground up: an import points down, or along its own floor.
FLOORS = (
    ("errors", "version", "choices", "talk", "text", "fields", "files", "ahead", "inputs"),
    ("smear",),
    ("results",),
    ("typing",),
    ("naming", "covariates"),
    ("cells", "quality"),
    ("domain",),
    ("report",),
    ("host",),
    ("ledger",),
    ("engines",),
    ("bundle",),
    ("runtime",),
    ("scoring", "watching"),
    ("commissioning",),
    ("bench",),
    ("commands",),
    ("workshop",),
)
LONGEST_CHAIN = 10
MOST_FILES_PER_FOLDER = 12

TENSOR_NAMES = frozenset(
    {
        *("cells", "draws", "encodings", "probabilities", "decisions", "crops", "masks"),
        *("members", "cell_logits", "cell_weights", "image_probabilities"),
        *("scaled", "embedding", "aggregates", "logits", "features"),
    }
)
CONTRACT = "vexas_edge/bundle/contract.py"
WITHOUT_TENSOR_NAMES = (
    *(f"vexas_edge/{room}" for room in ("engines", "scoring", "runtime", "bench")),
    *("export", "calibration"),
)
# The same words where they name no tensor, once in each of these files.
OTHER_MEANINGS = {
    ("export/parity.py", "cells"): "how many cells parity was measured on, in the manifest",
    ("export/spec.py", "cells"): "a field of a spec",
    ("calibration/conversion.py", "cells"): "how many cells calibration saw, in the manifest",
}

# Public functions that several files of a package give by agreement.
BY_CONTRACT = {"vexas_edge": {"ABILITIES", "devices", "start"}}


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def modules(package: str) -> dict[str, Path]:
    return {module_of(path): path for path in files(package)}


def imports_of(module: str, package: str, *, top_level: bool = False) -> Iterator[tuple[str, int]]:
    """Modules of the same package that a module imports, deferred ones too, each with its line.

    Args:
        top_level: leave out what is imported only when a function runs, or for types alone.
    """
    tree = tree_of(modules(package)[module])
    for node in at_import(tree) if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}, line {node.lineno}: imports by a relative path"
            base = node.module or ""
            wanted = [
                full if (full := f"{base}.{alias.name}") in modules(package) else base
                for alias in node.names
            ]
        else:
            continue
        for name in wanted:
            if name in modules(package) and name != module:
                yield name, node.lineno


def graph_of(package: str, *, top_level: bool = False) -> dict[str, set[str]]:
    """Which modules each module imports; the package's own face and `__main__` are left out."""
    inner = {name for name in modules(package) if name not in (package, f"{package}.__main__")}
    return {
        name: {other for other, _ in imports_of(name, package, top_level=top_level)} & inner
        for name in inner
    }


def floor_of(module: str) -> int:
    room = module.split(".")[1]
    found = [level for level, rooms in enumerate(FLOORS) if room in rooms]
    assert found, f"{module} lies on no floor; name its room in FLOORS"
    return found[0]


def room_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 or parts[1] in ("smear",) else module


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Each circle of imports once, as a chain of names."""
    found: list[str] = []
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            found.append(" -> ".join((*path[path.index(name) :], name)))
            return
        if name in done:
            return
        for other in sorted(graph.get(name, ())):
            visit(other, (*path, name))
        done.add(name)

    for name in sorted(graph):
        visit(name, ())
    return found


def longest_chain(graph: dict[str, set[str]]) -> tuple[str, ...]:
    @cache
    def chain(name: str) -> tuple[str, ...]:
        return (name, *max((chain(other) for other in graph[name]), key=len, default=()))

    return max((chain(name) for name in graph), key=len)


@pytest.mark.parametrize("module", sorted(graph_of("vexas_edge")))
def test_an_import_points_down(module: str) -> None:
    for other, line in imports_of(module, "vexas_edge"):
        assert other != "vexas_edge", f"{module}, line {line}: imports from the package's face"
        assert floor_of(other) <= floor_of(module), (
            f"{module}, line {line}: imports {other}, which lies on a higher floor"
        )


@pytest.mark.parametrize("module", sorted(graph_of("vexas_edge")))
def test_a_module_that_is_named_in_a_string_lies_below_too(module: str) -> None:
    for node in ast.walk(tree_of(modules("vexas_edge")[module])):
        if isinstance(node, ast.Constant) and node.value in modules("vexas_edge"):
            assert node.value == "vexas_edge" or floor_of(node.value) <= floor_of(module), (
                f"{module}, line {node.lineno}: names {node.value}, which lies on a higher floor"
            )


@pytest.mark.parametrize("package", ["vexas_edge", *WORKSHOP])
def test_no_files_import_each_other_in_a_circle(package: str) -> None:
    assert circles(graph_of(package)) == []


@pytest.mark.parametrize("package", ["vexas_edge", *WORKSHOP])
def test_no_rooms_import_each_other_in_a_circle(package: str) -> None:
    rooms: dict[str, set[str]] = {}
    for module, others in graph_of(package).items():
        rooms.setdefault(room_of(module), set()).update(
            room_of(other) for other in others if room_of(other) != room_of(module)
        )
    assert circles(rooms) == []


def test_imports_of_the_workshop_point_from_training_to_the_edge() -> None:
    below = {
        "vexas_edge": (),
        "export": ("vexas_edge",),
        "calibration": ("export", "vexas_edge"),
        "training": ("calibration", "export", "vexas_edge"),
        "kit": ("vexas_edge",),
    }
    for package, allowed in below.items():
        for path in files(package):
            for node in ast.walk(tree_of(path)):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
                for name in names:
                    top = name.partition(".")[0]
                    assert top not in below or top in (package, *allowed), f"{path} imports {name}"


def test_no_chain_of_imports_is_long() -> None:
    chain = longest_chain(graph_of("vexas_edge", top_level=True))
    assert len(chain) <= LONGEST_CHAIN, " -> ".join(chain)


@pytest.mark.parametrize("room", ["engines", "runtime", "results"])
def test_some_rooms_know_nothing_of_what_cells_are(room: str) -> None:
    """Cells are images or rows of genes' counts; only what reads and places them tells which."""
    telling = re.compile(r"image|pixel|canvas|\bgenes?\b", re.IGNORECASE)
    said = [
        f"{path.relative_to(ROOT)}, line {number}: {line.strip()}"
        for path in files(f"vexas_edge/{room}")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if telling.search(line)
    ]
    assert said == []


def test_no_folder_is_crowded() -> None:
    counts = Counter(path.parent for path in files("vexas_edge"))
    crowded = {str(folder): n for folder, n in counts.items() if n > MOST_FILES_PER_FOLDER}
    assert crowded == {}


def test_names_of_tensors_stand_in_the_contract_alone() -> None:
    said = [
        (path.relative_to(ROOT).as_posix(), node.value)
        for folder in WITHOUT_TENSOR_NAMES
        for path in files(folder)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant)
        and node.value in TENSOR_NAMES
        and path.relative_to(ROOT).as_posix() != CONTRACT
    ]
    assert sorted(said) == sorted(OTHER_MEANINGS)


@pytest.mark.parametrize("package", ["vexas_edge", *WORKSHOP])
def test_a_public_name_has_one_meaning_in_its_package(package: str) -> None:
    homes: dict[str, list[str]] = {}
    for module, path in modules(package).items():
        for name in public_names(tree_of(path)) - BY_CONTRACT.get(package, set()):
            homes.setdefault(name, []).append(module)
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def public_names(tree: ast.Module) -> set[str]:
    """Functions, classes and constants that a module defines for others, not what it loads."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and not loads_a_library(node.value):
            inner = (part for target in node.targets for part in ast.walk(target))
            names |= {part.id for part in inner if isinstance(part, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def loads_a_library(value: ast.expr) -> bool:
    """Whether it is `load_library(...)`, an import in other words."""
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "load_library"


def test_the_tests_above_see_what_they_forbid() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a -> b -> c -> a"]
    assert longest_chain({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == ("a", "b", "c")
    hidden = ast.parse("if True:\n import a\ndef f():\n import b\nif TYPE_CHECKING:\n import c")
    names = [a.name for n in at_import(hidden) if isinstance(n, ast.Import) for a in n.names]
    assert names == ["a"]
    assert floor_of("vexas_edge.errors") < floor_of("vexas_edge.scoring.score")
    assert public_names(
        ast.parse("A, B = 1, 2\n_c = 3\nx = load_library('y')\ndef d(): ...\nE: int = 4")
    ) == {*("A", "B", "d", "E")}
