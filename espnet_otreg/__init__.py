"""Aligning speech with text by optimal transport, as an ESPnet plugin.

Importing this package is cheap: torch and ESPnet are loaded by the parts that need them.
"""

__version__ = "0.2.0"
