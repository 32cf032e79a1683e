"""What scoring gives: values, words for people, files and their names."""
