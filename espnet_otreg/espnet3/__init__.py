"""This package's models, data directories, scores and pages in a recipe of ESPnet3.

ESPnet3 came with ESPnet 202611 and knows no plugins: a recipe names dotted paths. Ours are

    task: espnet_otreg.tasks.asr.ASRTask                          what `model:` is built by
    launch(OTRegSystem)                                           `system`: the stages
    from espnet_otreg.espnet3.data import Dataset                 our data directories
    from espnet_otreg.espnet3.making import DatasetBuilder        and the stage that makes them
    _target_: espnet_otreg.espnet3.inference.recogniser           of `inference.yaml`
    _target_: espnet_otreg.espnet3.metrics.ErrorRate              of `metrics.yaml`

Nothing else of this package imports what is here, so that it is whole where ESPnet3 is not; and
who imports it without is told how to get it.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

from espnet_otreg.errors import UserError

NEEDED = ("espnet3", "lightning", "hydra", "dask", "dask_jobqueue")  # of `espnet[train]`
HOW = (
    "recipes of egs3 need {}: with Python 3.12 or newer, pip install 'espnet_otreg[espnet3]'; "
    "those of egs2 need none of it"
)


def lacking() -> list[str]:
    """Name the packages that recipes of ESPnet3 need and that are not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def check_installed() -> None:
    """Stop where ESPnet3 is not installed, or not the whole of what it trains with."""
    missing = lacking()
    if missing:
        raise UserError(HOW.format(", ".join(missing)))


def words(options: Mapping[str, Any]) -> list[str]:
    """Turn options of a YAML file into the words of a command.

    Values in a list follow one option, `true` is an option without a value, and null and `false`
    leave it out.

    >>> words({"output": "out", "langs": ["en", "fr"], "force": True, "old": None})
    ['--output', 'out', '--langs', 'en', 'fr', '--force']
    """
    found: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        found.append(f"--{name}")
        if isinstance(value, list | tuple):
            found += map(str, value)
        elif value is not True:
            found.append(str(value))
    return found


check_installed()
