"""Whether a folder lies on this PC's own disk."""

import os
import sys
from pathlib import Path
from typing import Any

_SHARES = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "9p", "vboxsf"}
)
_MOUNTS = Path("/proc/self/mounts")
_REMOTE_DRIVE = 4  # Windows's DRIVE_REMOTE


def is_on_share(folder: Path) -> bool:
    """Whether a folder lies on another PC's disk, as far as this system tells."""
    if sys.platform == "win32":
        import ctypes

        windows: Any = ctypes.windll
        root = os.path.splitdrive(os.path.realpath(folder))[0]
        return (
            root.startswith("\\\\") or windows.kernel32.GetDriveTypeW(f"{root}\\") == _REMOTE_DRIVE
        )
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:  # macOS
        return False
    real = Path(os.path.realpath(folder))
    kinds = {Path(_unescaped(place)): kind for _, place, kind, *_ in map(str.split, mounts)}
    kind = next((kinds[above] for above in (real, *real.parents) if above in kinds), "")
    return kind in _SHARES or kind.startswith("fuse")


def _unescaped(place: str) -> str:
    """A path as the list of mounts writes it, with spaces as octal numbers."""
    return place.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
