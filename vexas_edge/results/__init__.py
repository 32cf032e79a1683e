"""What scoring returns: values, words for people, files and their names."""
