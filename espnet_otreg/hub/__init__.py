"""Trained models as one file that opens anywhere: ESPnet's pack format, model cards, upload."""
