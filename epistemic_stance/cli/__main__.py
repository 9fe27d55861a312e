"""`python -m epistemic_stance.cli` is the `stance` command."""

from epistemic_stance.cli.main import main

main()
