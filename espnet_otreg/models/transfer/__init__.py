"""A CTC model taught by a masked language model through transport."""
