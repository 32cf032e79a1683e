"""Settings of the VEXAS paper (Chabrun, Lacombe et al. 2023) that several commands default to."""

# The side of the black square on which a cell is placed, in pixels.
CANVAS_PX = 272
