"""Label a run's answers: draw a sample, ask people or a judge model, report how far the patterns can be trusted."""
