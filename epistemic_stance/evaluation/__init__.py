"""Scores, before and after -> analysis.json, comparison.json, selection.json."""
