"""`python -m epistemic_stance` is the `stance` command."""

from epistemic_stance.cli.main import main

main()
