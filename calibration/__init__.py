"""The workshop's precisions: from a float32 graph to cheaper ones, proven to be the same model."""
