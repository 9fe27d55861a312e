#!/usr/bin/env python3
"""Fine-tune a model's stance with Direct Preference Optimization: the same as `stance train`."""

from epistemic_stance.cli.launch import main

if __name__ == "__main__":
    main(__file__, "train")
