"""libtiff, which decodes TIFFs for Pillow, told to keep to itself what it would print on stderr."""

import ctypes
from contextlib import suppress
from functools import cache

from PIL import _imaging


@cache
def silence_libtiff() -> None:
    """Let libtiff print nothing from now on; what goes wrong, Pillow raises all the same.

    Its lines quote the file, and do not name the cell. Pillow has no switch for them, so libtiff's
    own is used, which is found through the module of Pillow that has loaded it. Where it cannot be
    found, as on Windows, whose Pillow holds libtiff without its names, the lines stay.
    """
    with suppress(AttributeError, OSError):
        loaded = ctypes.CDLL(_imaging.__file__)
        for switch in (loaded.TIFFSetErrorHandler, loaded.TIFFSetWarningHandler):
            switch.argtypes, switch.restype = [ctypes.c_void_p], ctypes.c_void_p
            switch(None)
