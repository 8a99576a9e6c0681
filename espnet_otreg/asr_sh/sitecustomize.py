"""Python runs this file at every start while its folder is on PYTHONPATH: see `espnet_otreg.hook`.

Spawned workers inherit the variable, so they know the parts too. A start costs milliseconds:
nothing of ESPnet is imported. Another sitecustomize further along the path runs as ever.
"""

import importlib.util
import os
import sys
from importlib.machinery import PathFinder


def run_the_next() -> None:
    """Run the sitecustomize that this one hides."""
    here = os.path.dirname(os.path.realpath(__file__))
    places = [os.path.realpath(place) for place in sys.path]
    last = max((i for i, place in enumerate(places) if place == here), default=-1)
    spec = PathFinder.find_spec(__name__, sys.path[last + 1 :])
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules[__name__] = module
        spec.loader.exec_module(module)


try:
    if "espnet_otreg.hook" not in sys.orig_argv:  # the command that names this folder, once more
        from espnet_otreg.hook import install

        install()
finally:  # a Python without this package is told so by `site`, and goes on
    run_the_next()
