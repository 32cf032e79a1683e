"""How fast a bundle scores on this PC, in MLPerf's terms.

Single-stream is one cell per query, each sent when the last has returned. Offline is the number of
cells per second when all are available at once. Case is the time from the files of one smear to its
result. Cold start is the time from the start of a process to its first score. Everything is
measured in turns, so that a busy minute of the PC affects all figures alike.
"""
