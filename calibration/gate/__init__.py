"""Whether a cheaper graph is still the same model, judged on patients that it never saw."""
