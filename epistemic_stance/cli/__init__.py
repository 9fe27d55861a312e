"""The stance command: parse, call, print."""
