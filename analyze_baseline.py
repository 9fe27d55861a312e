#!/usr/bin/env python3
"""Count what the baseline answers do and grade them: the same as `stance analyze`."""

from epistemic_stance.cli.launch import main

if __name__ == "__main__":
    main(__file__, "analyze")
