"""From encodings to patients: the classifier, and what it is worth."""
