"""The commands of `vexas-workshop train`, each a thin layer over a stage."""

from typing import Any


def names_from_words(words: str | None) -> tuple[str, ...]:
    """The names in a comma-separated list; none if there is no list."""
    return tuple(name.strip() for name in words.split(",")) if words else ()


def reading_from(asked: dict[str, Any]) -> Any:
    """The `ReadOptions` among a command's options, which are removed from `asked`."""
    from vexas_edge.smear.options import read_options

    words = ("layout", "class_from", "cell_type", "class_map")
    return read_options(**{word: asked.pop(word) for word in words})
