"""What gets trained: ESPnet models with an optimal-transport term."""
