"""Numbers about a patient, such as an age, that a model may take beside the cells."""
