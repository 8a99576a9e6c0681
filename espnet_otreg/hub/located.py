"""The files that a configuration names: brought into a pack, and found again where it lies."""

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from espnet_otreg.errors import UserError

PLACES = (("bpemodel",), ("non_linguistic_symbols",), ("normalize_conf", "stats_file"))


def bring_along(config: dict[str, Any], folder: Path) -> None:
    """Copy every file the configuration names into `folder`; it then names the copies.

    Names are relative to `folder`. ESPnet's own unpacking knows them too: it replaces whatever
    string of config.yaml is a member's name.
    """
    for options, key in _named(config):
        source = Path(options[key])
        if not source.is_file():
            raise UserError(
                f"{key} in the configuration is {source}, which does not exist from here: pack "
                "from the folder that the model was trained in"
            )
        name = f"{key}_{source.name}" if (folder / source.name).exists() else source.name
        shutil.copyfile(source, folder / name)
        options[key] = name


def resolve(config: dict[str, Any], folder: Path) -> None:
    """Let the configuration of an unpacked folder name its files by where they are."""
    for options, key in _named(config):
        options[key] = str(inside(folder, options[key], f"{key} of config.yaml"))


def inside(folder: Path, name: str, what: str) -> Path:
    """Return a file or folder of a pack; what lies elsewhere is refused, what is missing named.

    An absolute path is what ESPnet's own unpacking makes of a name.
    """
    path = PurePosixPath(name)
    if ".." in path.parts or (path.is_absolute() and not Path(name).is_relative_to(folder)):
        raise UserError(f"{folder}: {what} is {name}, which is outside the pack: pack it again")
    found = Path(name) if path.is_absolute() else folder / name
    if not found.exists():
        raise UserError(f"{folder} lacks {name} ({what}): fetch or unpack the model again")
    return found.absolute()


def _named(config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the mapping and the key of every option that names a file."""
    for *above, key in PLACES:
        options = config
        for name in above:
            options = options.get(name) or {}
        value = options.get(key)
        if key == "bpemodel" and config.get("token_type") == "hugging_face":
            continue  # a model's name
        if isinstance(value, str) and value not in ("", "none"):
            yield options, key
