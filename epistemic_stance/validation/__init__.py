"""From the answers and probes of a run's checkpoints to verdicts and a choice."""
