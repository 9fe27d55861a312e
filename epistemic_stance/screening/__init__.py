"""A cheap first look at a run's base model and checkpoints: probes, and a few answers of each."""
