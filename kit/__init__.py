"""Makes the kit: one folder with all that a PC without network or admin rights needs to score."""
