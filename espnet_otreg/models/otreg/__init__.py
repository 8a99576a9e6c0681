"""ESPnet's ASR model with the transport term."""
