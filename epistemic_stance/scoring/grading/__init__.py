"""Right, wrong or unparsed: answers held against the keys of their questions."""
