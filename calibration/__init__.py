"""Makes cheaper graphs, in integers or float16, and proves that they are still the same model."""
