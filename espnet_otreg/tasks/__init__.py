"""ESPnet tasks that know the models of this package."""
