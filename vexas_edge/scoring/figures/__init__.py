"""What is computed from a score's draws beside the score: its interval, labels, pulls of cells."""
