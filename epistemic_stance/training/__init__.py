"""Preference training: equations, packing, reference, loop, guards, checkpoints."""
