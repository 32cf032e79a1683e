"""The numbers of a score from the encodings of its cells, by the aggregation of the model."""
