"""Models: find, screen and load them, render their chat templates, generate their answers."""
