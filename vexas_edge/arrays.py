"""Reads the arrays of an .npz file that may be damaged."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray


def arrays_from_npz(content: bytes) -> dict[str, NDArray[Any]]:
    """Every array by its name.

    Raises:
        ValueError: the content is no such file, is damaged, or would have to be unpickled.
    """
    try:
        with np.load(BytesIO(content), allow_pickle=False) as opened:
            found = {name: opened[name] for name in opened.files}
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"no readable arrays ({type(error).__name__}: {error})") from error
    if strange := [name for name, array in found.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{strange[0]} is no array")
    return found
