"""The files that a configuration names: brought into a pack, and found again where it lies."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from espnet_otreg.errors import UserError

PLACES = (
    *(("bpemodel",), ("non_linguistic_symbols",), ("token_list",)),
    ("normalize_conf", "stats_file"),
)


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


def resolve_upwards(
    config: dict[str, Any], base_options: Mapping[str, str], experiment: Path
) -> None:
    """Let the configuration of an experiment name its files, and its base models, from here.

    `base_options` maps a part to the option of `<part>_conf` that names its base model.
    """
    places = list(_named(config))
    for part, option in base_options.items():
        conf = config.get(f"{part}_conf")
        if isinstance(conf, dict) and isinstance(conf.get(option), str):
            places.append((conf, option))
    for options, key in places:
        name = options[key]
        if os.path.isabs(name) or os.path.exists(name):
            continue
        homes = (home for home in experiment.parents if (home / name).exists())
        options[key] = next((str(home / name) for home in homes), name)  # else a hub name


def inside(folder: Path, name: str, what: str) -> Path:
    """Return a file or folder of a pack; what lies elsewhere is refused, what is missing named.

    An absolute path is what ESPnet's own unpacking makes of a name.
    """
    path = PurePosixPath(name)
    if ".." in path.parts or (path.is_absolute() and not Path(name).is_relative_to(folder)):
        raise UserError(f"{folder}: {what} is {name}, which is outside the pack: pack it again")
    found = Path(name) if path.is_absolute() else folder / name
    try:
        there = found.exists()
    except (OSError, ValueError) as error:  # too long, or no name at all
        raise UserError(
            f"{folder}: {what} is no name of a file ({error}): pack it again"
        ) from error
    if not there:
        raise UserError(f"{folder} lacks {name} ({what}): fetch or unpack the model again")
    if not any(found.resolve().is_relative_to(home) for home in _homes(folder)):
        raise UserError(f"{folder}: {what} is {name}, a link that leads outside the pack")
    if not (found.is_file() or found.is_dir()):
        raise UserError(f"{folder}: {what} is {name}, which is neither file nor folder")
    return found.absolute()


def _homes(folder: Path) -> list[Path]:
    """Return where a pack's files may lie: the hub's cache keeps them beside, under links."""
    home = folder.resolve()
    for above in home.parents:
        if above.name == "snapshots":
            return [home, above.parent / "blobs"]
    return [home]


def _named(config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the mapping and the key of every option that names a file."""
    for *above, key in PLACES:
        options = config
        for name in above:
            options = options.get(name) or {}
        if not isinstance(options, dict):
            continue  # refused elsewhere
        value = options.get(key)
        if key == "bpemodel" and config.get("token_type") == "hugging_face":
            continue  # a model's name
        if isinstance(value, str) and value not in ("", "none"):
            yield options, key
        elif not isinstance(value, str | None) and key != "token_list":
            # a number would be opened as the file that has this number in the process
            raise UserError(f"{key} in the configuration is {value!r}, which names no file")
