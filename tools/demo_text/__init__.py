"""Text generators for the embedded demo model: questions with the habits of a small untuned chat model."""
