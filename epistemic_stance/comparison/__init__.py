"""The comparison stage: two collections of answers to the same questions, side by side. Never imports torch."""
