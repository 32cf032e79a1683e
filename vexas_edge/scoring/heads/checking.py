"""Whether a fused graph and the head agree, in each case that is scored."""

import numpy as np

from vexas_edge.bundle.contract import PROBABILITIES
from vexas_edge.errors import HostError
from vexas_edge.runtime.selftest import CROSS_CHECK
from vexas_edge.scoring.encoded import CheckedCall
from vexas_edge.scoring.heads.inputs import RunHead, head_of_call


def check_call(name: str, call: CheckedCall | None, run: RunHead) -> None:
    """Check that the fused graph and the head agree on the probabilities of one call's cells.

    The means over draws are compared, because single draws may jump by 5e-3 at libsvm's stopping
    threshold.

    Args:
        call: None where there is none to be checked.
        run: the head.

    Raises:
        HostError: they do not.
    """
    if call is None:
        return
    encodings = head_of_call(call.encodings, call.inputs)
    outputs = run(encodings, call.inputs)
    expected = outputs[PROBABILITIES].mean(axis=0, dtype=np.float64)
    found = call.probabilities.mean(axis=0, dtype=np.float64)
    difference = float(np.abs(found - expected).max())
    if not difference <= CROSS_CHECK:
        raise HostError(
            f"model {name}: the fused graph's score differs from the head's by {difference:.1e} "
            f"(allowed {CROSS_CHECK:.0e}); this engine cannot be trusted on this PC"
        )
