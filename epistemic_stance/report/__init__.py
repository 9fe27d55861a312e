"""Show a run to people: one HTML file that needs no network, and a Markdown twin."""
