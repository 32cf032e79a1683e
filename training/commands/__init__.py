"""The commands of `vexas-workshop train`, each a thin layer over a stage."""


def names_from_words(words: str | None) -> tuple[str, ...]:
    """The names in a comma-separated list; none if there is no list."""
    return tuple(name.strip() for name in words.split(",")) if words else ()
