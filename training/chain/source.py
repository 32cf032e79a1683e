"""The part of our own source that a module uses, as the key of a stage needs it.

A module uses what it imports, anywhere in it, and what that imports. Our imports name whole paths,
as a test of the house checks, so they are read from the syntax trees and nothing is loaded.
"""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

PACKAGES = ("vexas_edge", "export", "calibration", "training")

_ROOT = Path(__file__).parents[2]
_INIT = "__init__.py"


@dataclass(frozen=True, kw_only=True)
class _Mentions:
    """What one file mentions.

    modules: of each import the names that it may mean, the most particular first.
    named: packages that a call is given by name, such as `PackageLoader("training")`.
    reads_beside: whether it asks for its own place, and so may read files beside itself.
    """

    modules: tuple[tuple[str, ...], ...]
    named: tuple[str, ...]
    reads_beside: bool


@dataclass(frozen=True, kw_only=True)
class Source:
    """Our source at one moment.

    files: the content of each file, by its path with `/`.
    """

    files: dict[str, bytes]

    def digest(self, module: str) -> str:
        """The hash of all files that the module uses, in hexadecimal.

        Raises:
            ValueError: it is none of our modules, so nothing is known of what it uses.
        """
        if self._file(module) is None:
            raise ValueError(f"{module} is not a module of {', '.join(PACKAGES)}")
        found = {file: hashlib.sha256(self.files[file]).hexdigest() for file in self.used(module)}
        return hashlib.sha256(str(sorted(found.items())).encode()).hexdigest()

    def used(self, module: str) -> set[str]:
        """The files that the module uses: itself, all that it imports, and the data they read.

        The `__init__` of a package is used by all below it, but what its functions import counts
        only for modules that import the package itself, as `import export.card` does, too, or a
        name from it. An import by name, as in `import_module("export.card")`, counts if the name
        is written as one text.
        """
        done: set[tuple[str, bool]] = set()
        waiting = [(module, True)]
        found: set[str] = set()
        while waiting:
            name, whole = one = waiting.pop()
            file = self._file(name)
            if file is None or one in done:
                continue
            done.add(one)
            found.add(file)
            mentions = _mentions(self.files[file], whole)
            waiting += [(parent, False) for parent in _parents(name)]
            for names in mentions.modules:
                waiting += [(n, True) for n in names if self._file(n)][:1]
            found.update(*(self._data(package) for package in mentions.named))
            if mentions.reads_beside:
                found |= self._data(name if file.endswith(_INIT) else name.rpartition(".")[0])
        return found

    def _file(self, module: str) -> str | None:
        path = module.replace(".", "/")
        places = (f"{path}.py", f"{path}/{_INIT}")
        return next((place for place in places if place in self.files), None)

    def _data(self, package: str) -> set[str]:
        """The files of a package that are no source, except those of packages in it."""
        home = package.replace(".", "/")
        return {
            file
            for file in self.files
            if file.startswith(f"{home}/") and not file.endswith(".py") and self._home(file) == home
        }

    def _home(self, file: str) -> str | None:
        """The folder of the package that a file belongs to."""
        folders = map(str, PurePosixPath(file).parents)
        return next((folder for folder in folders if f"{folder}/{_INIT}" in self.files), None)


def source_now(root: Path = _ROOT) -> Source:
    """The source as it is now in the folder that holds our packages."""
    paths = (path for package in PACKAGES for path in sorted((root / package).rglob("*")))
    return Source(
        files={
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in paths
            if path.is_file() and "__pycache__" not in path.parts
        }
    )


def _parents(module: str) -> list[str]:
    names = module.split(".")
    return [".".join(names[:n]) for n in range(1, len(names))]


@cache
def _mentions(content: bytes, whole: bool) -> _Mentions:
    """What a file mentions, or only what it does when it is imported.

    Args:
        whole: also what stands in functions, or is for types alone.
    """
    tree = ast.parse(content)
    modules: list[tuple[str, ...]] = []
    named: list[str] = []
    reads_beside = False
    for node in ast.walk(tree) if whole else at_import(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules += [(alias.name,), *((parent,) for parent in _parents(alias.name))]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules += [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            modules.append((node.value,))
        elif isinstance(node, ast.Call):
            texts = (arg.value for arg in node.args if isinstance(arg, ast.Constant))
            named += [text for text in texts if isinstance(text, str)]
        reads_beside |= isinstance(node, ast.Name) and node.id == "__file__"
    return _Mentions(modules=tuple(modules), named=tuple(named), reads_beside=reads_beside)


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported, however deep; not those for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import(node)
