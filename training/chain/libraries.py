"""What results depend on besides our code and what a stage is given: libraries, and threads."""

from typing import Any

import sklearn
import torch

from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")


def torch_facts() -> dict[str, Any]:
    """What trained weights depend on; the number of threads changes rounding."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}


def onnxruntime_facts() -> dict[str, str]:
    """What a graph's results depend on."""
    return {"onnxruntime": onnxruntime.__version__}


def sklearn_facts() -> dict[str, str]:
    """What an SVM depends on."""
    return {"scikit-learn": sklearn.__version__}
