"""Decoding in batches."""
