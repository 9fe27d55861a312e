"""A stance folder: load it, check it, and say of its questions what a model has seen."""
