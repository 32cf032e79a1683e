"""What lies below a folder, kept up to date by looking at little of it at a time.

Network disks send no events, so this asks again and again. A folder's own time tells that something
came or went in it; a file that was written anew in its place is found when its folder has its turn
to be listed.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.finding import cases_in, is_zip
from vexas_edge.smear.layout import folders_above, is_image
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import case_at
from vexas_edge.smear.walk import UnlistedFolderError, WalkedFile, list_folder
from vexas_edge.text import hash_of


@dataclass(frozen=True, slots=True)
class _Listing:
    """One folder. changed_ns: its own time before it was listed. facts: a hash of its files."""

    changed_ns: int
    facts: str
    folders: tuple[str, ...]
    zips: tuple[str, ...]
    refused: tuple[WalkedFile, ...]
    has_images: bool
    unlisted: UnlistedFolderError | None = None


class WatchedTree:
    """The smears below a folder."""

    def __init__(self, root: Path, options: ReadOptions) -> None:
        self._root, self._options = case_at(root), options
        self._real = Path(os.path.realpath(root))
        self._listed: dict[str, _Listing] = {}
        self._fresh: set[str] = set()  # listed in the last poll, maybe in the middle of a change
        self._turn: list[str] = []  # folders that are yet to be listed in this round
        self._smears: dict[str, FoundCase] = {}
        self._facts: dict[str, str] = {}

    def poll(self, share: float) -> dict[str, str]:
        """Look again; returns a hash of what is known of each smear's files, by its name.

        Args:
            share: of all folders, how many are listed whether their time has changed or not.

        Raises:
            InputError: the folder itself cannot be listed; what was known stays.
        """
        due = {path for path, listing in self._listed.items() if self._has_changed(path, listing)}
        due |= self._fresh | self._next_turn(share)
        self._fresh = set()
        touched: set[str] = set()
        for path in sorted(due or ({""} - self._listed.keys())):
            if path in self._listed or not path:
                touched |= self._list(path)
        if touched:
            self._find_smears()
            self._renew(touched)
        return self._facts | dict(self._facts_of_zips())

    def smear(self, name: str) -> FoundCase:
        """Where the smear of that name lies."""
        return self._smears[name]

    @property
    def n_folders(self) -> int:
        return len(self._listed)

    def _has_changed(self, path: str, listing: _Listing) -> bool:
        return _time_of(f"{self._real}/{path}") != listing.changed_ns

    def _next_turn(self, share: float) -> set[str]:
        """The next folders of the round that lists all of them."""
        if not self._turn:
            self._turn = list(self._listed)
        size = math.ceil(share * len(self._listed))
        turn, self._turn = self._turn[:size], self._turn[size:]
        return {path for path in turn if path in self._listed}

    def _list(self, path: str) -> set[str]:
        """List a folder and those below it that are new; returns the paths of what has changed."""
        pending, touched = [path], set()
        while pending:
            path = pending.pop()
            before, now = self._listed.get(path), self._listing(path)
            if now is None:  # it has gone, or the disk is away for a moment
                touched |= self._forget(path)
                self._fresh.add(path.rpartition("/")[0])
                continue
            self._listed[path] = now
            if before and (before.facts, before.folders) == (now.facts, now.folders):
                continue
            touched.add(path)
            self._fresh.add(path)
            pending += [folder for folder in now.folders if folder not in self._listed]
            for gone in set(before.folders if before else ()) - set(now.folders):
                touched |= self._forget(gone)
        return touched

    def _listing(self, path: str) -> _Listing | None:
        changed_ns = _time_of(f"{self._real}/{path}")
        try:
            files, folders = list_folder(self._real, path)
        except UnlistedFolderError as problem:
            if not path:
                raise
            if changed_ns is None:
                return None
            return _Listing(changed_ns, str(problem), (), (), (), False, problem)
        read = [file for file in files if not file.refusal]
        return _Listing(
            changed_ns=changed_ns or 0,
            facts=hash_of(*sorted(map(repr, files))),
            folders=tuple(sorted(folders)),
            zips=tuple(file.path for file in read if is_zip(file.path)),
            refused=tuple(file for file in files if file.refusal),
            has_images=any(is_image(file.path) for file in read),
        )

    def _forget(self, path: str) -> set[str]:
        """Drop a folder that has gone, and all below it; returns their paths."""
        gone = {path}
        listing = self._listed.pop(path, None)
        for folder in listing.folders if listing else ():
            gone |= self._forget(folder)
        return gone

    def _find_smears(self) -> None:
        listings = self._listed.values()
        found = cases_in(
            self._root,
            {path for path, listing in self._listed.items() if listing.has_images},
            {path for listing in listings for path in listing.zips},
            [file for listing in listings for file in listing.refused],
            [listing.unlisted for listing in listings if listing.unlisted],
            self._options,
        )
        self._smears = {case.name: case for case in found}

    def _renew(self, touched: set[str]) -> None:
        """Hash anew what is known of the smears that a change may belong to."""
        near = {place for path in touched for place in (path, *folders_above(path), "")}
        for name, case in self._smears.items():
            path = self._path_of(case)
            if name not in self._facts or path in near:
                self._facts[name] = hash_of(str(case.problem), *self._facts_below(path))
        for name in self._facts.keys() - self._smears.keys():
            del self._facts[name]

    def _path_of(self, case: FoundCase) -> str:
        return "" if case.path == self._root.path else case.name

    def _facts_below(self, path: str) -> Iterator[str]:
        listing = self._listed.get(path)
        if listing is None:  # a zip, or what is not entered
            return
        yield from (path, listing.facts)
        for folder in listing.folders:
            yield from self._facts_below(folder)

    def _facts_of_zips(self) -> Iterator[tuple[str, str]]:
        for listing in self._listed.values():
            for path in listing.zips:
                yield path, repr(_facts_of_file(self._real / path))


def _time_of(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a Path would take longer than the system
    except OSError:
        return None


def _facts_of_file(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns
