#!/usr/bin/env python3
"""Ask a model the baseline questions: the same as `stance collect --questions baseline`."""

from epistemic_stance.cli.launch import main

if __name__ == "__main__":
    main(__file__, "collect", (("questions", "baseline"),))
