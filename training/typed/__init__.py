"""What it does to patients' scores that a model names their cells."""
