"""How fast a bundle scores on this PC, in MLPerf's terms.

Single-stream: one cell a query, the next when the last has returned. Offline: cells a second when
all are there. Case: from the files of one smear to its result. Cold start: from the start of a
process to its first score. What is measured is measured in turns, so that a busy minute of the PC
falls on all alike.
"""
