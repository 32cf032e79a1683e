"""The kit: one folder with all that a PC without network and admin rights needs to score."""
