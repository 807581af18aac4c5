"""Cross-validation: every image of a small dataset is predicted by a network that never saw it."""
