"""Intervals, paired changes, multiplicity, and rates corrected for the errors of a detector."""
