#!/usr/bin/env python3
"""Ask a model the questions on consciousness and agency: the same as `stance collect --questions phase1`."""

from epistemic_stance.cli.launch import main

if __name__ == "__main__":
    main(__file__, "collect", (("questions", "phase1"),))
