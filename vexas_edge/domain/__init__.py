"""Whether a case is one that its model can judge: it looks like the training patients' images."""
