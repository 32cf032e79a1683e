"""Which integer graphs this CPU can judge: tests that run them ask here what to expect."""

import pytest

from vexas_edge.host.cpu import has_vnni

# Of the three, in the order in which they are made.
JUDGEABLE = ("int8", "int8-rr", "int8-trt") if has_vnni() else ("int8-rr", "int8-trt")
# Those that are for a CPU, this CPU's own first.
FOR_CPUS = JUDGEABLE[:-1]
OWN = FOR_CPUS[0]

needs_vnni = pytest.mark.skipif(
    not has_vnni(), reason="this CPU has no VNNI: its sums of 8-bit products may saturate"
)
