"""Scores with their uncertainty: normalised text, error counts, intervals over speakers, tables."""
