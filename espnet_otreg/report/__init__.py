"""A page to look at results: tables, figures, and every utterance with its audio and errors."""
