"""The analysis stage: what answers say, counted with intervals. Never imports torch."""
