"""Thin commands in ESPnet's manner: each has `get_parser()` and `main(cmd=None)`."""
