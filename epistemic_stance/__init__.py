"""Shift the stance of a small chat model with contrastive pairs, and prove what the shift did."""

__version__ = "0.1.0"
