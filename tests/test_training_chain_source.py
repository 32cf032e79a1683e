"""What a module uses is found in the syntax trees: nothing that it uses is forgotten."""

from pathlib import Path

import pytest

from training.chain.source import Source, source_now

FILES = {
    "training/__init__.py": "def late():\n    from training.shop import counter\n",
    "training/templates/page.html": "<p>",
    "training/work.py": (
        "import numpy\n"
        "from training.shop import shelf\n"
        "from export import write\n"
        "def make():\n"
        "    import training.deferred\n"
    ),
    "training/deferred.py": "from training import work\nfrom vexas_edge.words import WORDS\n",
    "training/page.py": "from jinja2 import PackageLoader\nhome = PackageLoader('training')\n",
    "training/by_name.py": "ENGINES = {'one': 'vexas_edge.engine'}\n",
    "training/far.py": "from export.graph import node\n",
    "training/typed.py": "if TYPE_CHECKING:\n    from training.shop.till import Till\n",
    "training/unused.py": "",
    "training/shop/__init__.py": "import training.shop.till\n",
    "training/shop/shelf.py": "",
    "training/shop/till.py": "",
    "training/shop/counter.py": "",
    "export/__init__.py": "def write():\n    from export import card\n",
    "export/card.py": "",
    "export/graph.py": "",
    "vexas_edge/__init__.py": "",
    "vexas_edge/engine.py": "",
    "vexas_edge/words.py": "from pathlib import Path\nWORDS = Path(__file__).parent / 'lists'\n",
    "vexas_edge/lists/words.toml": "",
    "vexas_edge/inner/__init__.py": "",
    "vexas_edge/inner/other.toml": "",
    "vexas_edge/__pycache__/words.pyc": "",
}


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_deferred_imports_circles_and_modules_that_are_imported_by_from_count(
    made_up: Path,
) -> None:
    assert source_now(made_up).used("training.work") == {
        "training/__init__.py",
        "training/work.py",
        "training/deferred.py",
        "training/shop/__init__.py",
        "training/shop/shelf.py",
        "training/shop/till.py",  # its package imports it
        "training/shop/counter.py",  # `import training.deferred` names `training` itself
        "export/__init__.py",
        "export/card.py",  # `write` stands in the package itself, so all of that counts
        "vexas_edge/__init__.py",
        "vexas_edge/words.py",
        "vexas_edge/lists/words.toml",
    }


def test_what_a_package_imports_in_a_function_counts_only_for_those_who_ask_the_package(
    made_up: Path,
) -> None:
    assert source_now(made_up).used("training.far") == {
        "training/__init__.py",
        "training/far.py",
        "export/__init__.py",
        "export/graph.py",
    }


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("training.page", "training/templates/page.html"),
        ("training.by_name", "vexas_edge/engine.py"),
        ("training.typed", "training/shop/till.py"),
    ],
)
def test_templates_modules_in_a_text_and_types_count(made_up: Path, module: str, file: str) -> None:
    assert file in source_now(made_up).used(module)


def test_a_hash_changes_with_what_is_used_alone(made_up: Path) -> None:
    def digests() -> dict[str, str]:
        source = source_now(made_up)
        return {name: source.digest(f"training.{name}") for name in ("work", "far", "page")}

    before = digests()
    (made_up / "training" / "unused.py").write_text("x = 1\n")
    (made_up / "vexas_edge" / "inner" / "other.toml").write_text("x = 1\n")
    assert digests() == before
    (made_up / "training" / "deferred.py").write_text("x = 1\n")
    after = digests()
    assert after.pop("work") != before.pop("work")
    assert after == before


def test_a_module_of_others_has_no_hash() -> None:
    with pytest.raises(ValueError, match="numpy is not a module of vexas_edge"):
        Source(files={}).digest("numpy")


def test_the_work_of_a_stage_uses_what_it_needs_and_not_the_work_of_another() -> None:
    source, tasks = source_now(), "training/chain/tasks/"
    names = {path.split("/")[-1] for path in source.files if path.startswith(tasks)}
    for name in names - {"__init__.py"}:
        used = source.used(f"training.chain.tasks.{name.removesuffix('.py')}")
        assert "training/chain/run.py" not in used, name
        assert "training/chain/chain_spec.py" not in used, name
        assert ("training/pretraining/trainer.py" in used) == (name == "pretrain.py"), name
        assert ("training/patients/report.py" in used) == (name == "evaluate.py"), name
        has_pages = name in ("evaluate.py", "bags.py")  # templates are used as a whole
        assert ("training/templates/evaluation.html" in used) == has_pages, name
        assert ("training/mask_network/segmenter.py" in used) == (name == "mask_network.py"), name
        assert "vexas_edge/report/html.py" not in used, name
    assert "vexas_edge/engines/onnxruntime.py" in source.used("training.chain.tasks.encode")
    vocabulary = "vexas_edge/smear/vocabularies/vexas.toml"
    assert vocabulary in source.used("training.chain.tasks.pretrain")
