"""The folders that file systems, network disks and archivers keep for themselves.

They hold thumbnails, deleted files, older versions and other things that nobody exported as cells.
"""

# macOS and Linux hide what begins with a dot; Synology and QNAP keep their own behind @, Windows
# behind $.
_BEGINNINGS = (".", "@", "$")

_NAMES = frozenset(
    {
        "#archive",
        "#recycle",
        "#snapshot",
        "__macosx",
        "_gsdata_",
        "~snapshot",
        "dfsrprivate",
        "lost+found",
        "network trash folder",
        "recycled",
        "recycler",
        "system volume information",
        "temporary items",
        "thevolumesettingsfolder",
        "trash",
    }
)


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name is never entered. A folder that a user names always is.

    >>> is_system_folder("@eaDir"), is_system_folder("$Recycle.Bin"), is_system_folder("LY")
    (True, True, False)
    """
    return name.startswith(_BEGINNINGS) or name.casefold() in _NAMES


def system_folder_of(path: str) -> str | None:
    """The outermost system folder that a file or folder lies in, of a path with `/`.

    >>> system_folder_of("LY/@eaDir/LY_1.jpg/SYNOPHOTO_THUMB_M.jpg")
    'LY/@eaDir'
    """
    folders = path.split("/")[:-1]
    for depth, name in enumerate(folders, start=1):
        if is_system_folder(name):
            return "/".join(folders[:depth])
    return None
