"""The second product: a trained classifier, its file, and what it says of new flows."""
