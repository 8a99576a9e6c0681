"""Measuring what an alignment does, apart from the models that make it."""
