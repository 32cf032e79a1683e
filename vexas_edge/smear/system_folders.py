"""The folders that file systems, network disks and archivers keep for themselves.

They hold thumbnails, deleted files, older versions and other things that nobody exported as cells.
"""

_NAMES = frozenset(
    {
        *("@appstore", "@database", "@eadir", "@recently-snapshot", "@recycle", "@sharebin"),
        *("@sharesnap", "@snapshot", "@synologydrive", "@tmp", "@upload_cache"),
        *("#archive", "#recycle", "#snapshot", "~snapshot"),
        *("$extend", "$recycle.bin", "recycler", "system volume information", "dfsrprivate"),
        *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"),
        *("_gsdata_", "lost+found"),
    }
)
# Every hidden folder of macOS and Linux; older versions of a folder on a share of Samba's.
_BEGINNINGS = (".", "@gmt-")


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name is never entered. A folder that a user names always is.

    >>> is_system_folder("@eaDir"), is_system_folder("$Recycle.Bin"), is_system_folder("LY")
    (True, True, False)
    """
    folded = name.casefold()
    return folded in _NAMES or folded.startswith(_BEGINNINGS)


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
