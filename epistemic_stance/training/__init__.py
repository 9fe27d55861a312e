"""Pairs -> checkpoints: equations, packing, reference, loop, guards."""
