#!/usr/bin/env python3
"""Count what the answers on consciousness and agency do: the same as `stance analyze`."""

from epistemic_stance.cli.launch import main

if __name__ == "__main__":
    main(__file__, "analyze")
