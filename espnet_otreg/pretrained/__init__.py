"""What others trained: speech encoders and language models, frozen, cached, known by content."""
