"""The workshop's training code, from cells to encoders and classifiers."""
