"""A folder of cached features: one array per utterance, and a note of what they were made of.

OUTPUT/started.json comes first, OUTPUT/features.json last. An interrupted run goes on where it
stopped, if it is asked for the same; a folder made of anything else is refused.
"""

import errno
import io
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json, write_lines

if TYPE_CHECKING:
    import numpy as np

FEATURES_JSON = "features.json"  # written last
PER_FOLDER = 1000
_STARTED = "started.json"
Item = TypeVar("Item")


def array_path(output: Path, number: int) -> Path:
    """Return where an utterance's array goes, by number: its name may not be fit for a file."""
    return output / "arrays" / f"{number // PER_FOLDER:04d}" / f"{number:07d}.npy"


def features_of(features: Sequence[Path] | None, sets: Sequence[Path]) -> list[Path | None]:
    """Return each set's folder of features: one was given for each, or one that holds them all."""
    if not features:
        return [None for _ in sets]
    if len(features) == len(sets) and (len(sets) > 1 or features[0].name == sets[0].name):
        return list(features)
    if len(features) == 1:
        return [features[0] / folder.name for folder in sets]
    raise UserError(
        f"--features names {len(features)} folders for {len(sets)} sets: give one for each set, in "
        "their order, or one folder that holds them by name"
    )


def refuse_strangers(output: Path, made_of: Mapping[str, Any], model: str, what: str) -> None:
    """What is there must have been made of the same; key `model` is the model's name alone.

    `what` says what the model is.
    """
    found = output.iterdir() if output.exists() else ()
    if all(path.name.startswith(".") and path.suffix == ".tmp" for path in found):
        return  # a kill leaves what was being written
    if not (output / _STARTED).is_file():
        raise UserError(
            f"{output} is not empty and does not say what it was made of: choose another "
            "--output, or remove the folder"
        )
    before = read_json(output / _STARTED)
    for key, value in made_of.items():
        if key != model and before.get(key) != value:
            raise UserError(
                f"{output} holds features made with another {key} ({before.get(key)}, {what} "
                f"{before.get(model)}) than asked for now ({value}): remove the folder, or "
                "choose another --output"
            )


def is_done(output: Path, items: Iterable[Item], complete: Callable[[Item, int], bool]) -> bool:
    """Tell whether nothing is left to do; `complete` is given an item and the dimension."""
    done = output / FEATURES_JSON
    if not done.is_file() or not (output / "feats.scp").is_file():
        return False
    dimension = read_json(done)["dimension"]
    if not all(complete(item, dimension) for item in items):
        return False
    logging.info("%s is complete already: nothing to do", output)
    return True


def start(output: Path, made_of: Mapping[str, Any]) -> None:
    """Note what the folder is about to be filled with; until `finish` it is unfinished."""
    (output / FEATURES_JSON).unlink(missing_ok=True)
    write_json(output / _STARTED, made_of)


def finish(
    output: Path, paths: Mapping[str, Path], made_of: Mapping[str, Any], dimension: int
) -> None:
    """Write the table of arrays and `features.json`."""
    write_lines(output / "feats.scp", [f"{utt} {path}" for utt, path in paths.items()])
    content = {**made_of, "dimension": dimension, "utterances": len(paths)}
    write_json(output / FEATURES_JSON, content)
    logging.info("%s: features of %d utterances", output, len(paths))


def read_note(features: str | Path, command: str) -> tuple[Path, dict[str, Any]]:
    """Return the folder and its `features.json`, given the folder or its feats.scp."""
    folder = Path(features) if Path(features).is_dir() else Path(features).parent
    if not (folder / FEATURES_JSON).is_file():
        raise UserError(
            f"{folder} holds no {FEATURES_JSON}, so its features are unfinished or of unknown "
            f"origin: run {command} (again)"
        )
    return folder, read_json(folder / FEATURES_JSON)


def is_whole(path: Path, dimension: int, dtype: str, rows: int | None = None) -> bool:
    """Tell whether an array is there, uncut, as wide as it must be, and with so many rows."""
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):  # not there, cut short, empty
        return False
    expected = (array.shape[0] if rows is None else rows, dimension)
    return array.shape == expected and array.dtype == np.dtype(dtype)


def check_room(output: Path, rows: int, arrays: int, dimension: int, dtype: str) -> None:
    """Refuse to begin what the disk cannot hold: so many rows in so many arrays."""
    import numpy as np

    needed = rows * dimension * np.dtype(dtype).itemsize + arrays * len(_npy(np.zeros(0)))
    free = shutil.disk_usage(output).free
    if needed > free:
        raise UserError(
            f"the features left to make need {needed / 1e9:.2f} GB, and the disk of {output} has "
            f"{free / 1e9:.2f} GB free: make room, choose another --output or --dtype float16"
        )


def npy(array: "np.ndarray", dtype: str, utt: str, model: str) -> bytes:
    """Return the .npy file's content, in the precision asked for."""
    import numpy as np

    with np.errstate(over="ignore"):  # told below, with the utterance's name
        stored = array.astype(dtype)
    if not np.isfinite(stored).all():
        raise UserError(
            f"{utt}: features of {model} that are no finite {dtype} numbers; use --dtype "
            "float32, or another model"
        )
    return _npy(stored)


def _npy(array: "np.ndarray") -> bytes:
    import numpy as np

    buffer = io.BytesIO()  # numpy's own writing to files loses the cause of an error
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def device(name: str) -> str:
    """Look up the device of option --device."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"--device {name!r} cannot be used ({reason}); try auto or cpu") from error
    return name


def batches(todo: Sequence[Item], length: Callable[[Item], int], size: int) -> Iterator[list[Item]]:
    """Utterances of similar length together, so that little is computed on padding.

    The longest come first: where memory is too small for them, it shows at once.
    """
    by_length = sorted(todo, key=length, reverse=True)
    for first in range(0, len(by_length), size):
        yield by_length[first : first + size]


@contextmanager
def telling_when_full(output: Path) -> Iterator[None]:
    """Turn a full disk into an error that says what becomes of the work."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"the disk of {output} is full ({error.strerror}); utterances that were finished are "
            "kept: make room, and the same command goes on from there"
        ) from error
