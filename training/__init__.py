"""The workshop's training code: cells to encoders and classifiers."""
