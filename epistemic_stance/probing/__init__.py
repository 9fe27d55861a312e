"""What a model's probabilities say, without sampling an answer."""
