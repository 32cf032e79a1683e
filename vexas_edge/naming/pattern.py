"""A pattern over the parts of a smear's path, by which a part of it becomes the case's id."""

import re
from dataclasses import dataclass

from vexas_edge.errors import UsageError

_ID = "{id}"


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A pattern such as `{id}_*/slide*`, for the last parts of a path.

    `{id}` stands for the id, and is as short as the rest lets it be; `*` stands for any text. None
    goes beyond one part.

    Raises:
        UsageError: there is not one `{id}` in it.

    >>> PathPattern("{id}_*/*").id_of("exports/B12_blood/slide 1")
    'B12'
    """

    text: str

    def __post_init__(self) -> None:
        if self.text.count(_ID) != 1:
            raise UsageError(
                f"case id pattern {self.text!r} must name the id once, as in '{_ID}_*' or '{_ID}/*'"
            )

    def id_of(self, path: str) -> str | None:
        """The id of the smear at a path with `/`; None where the path does not match."""
        parts = re.split(r"(\{id\}|\*)", self.text.strip("/"))
        regex = "".join(
            {_ID: "([^/]+?)", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts
        )
        match = re.fullmatch(f"(?:.*/)?{regex}", path)
        return match[1].strip() if match else None
