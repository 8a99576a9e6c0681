"""Cache the last layer of a masked language model: one array per utterance, for training.

Writes OUTPUT/feats.scp and OUTPUT/features.json, which says what the features were made of. An
interrupted run goes on where it stopped, if it is asked for the same; a folder made of anything
else is refused.
"""

import argparse
import errno
import io
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from espnet_otreg.bin.cli import run
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, read_table, write_json, write_lines, writing

if TYPE_CHECKING:
    import numpy as np

    from espnet_otreg.models.language_model import LanguageModel

PER_FOLDER = 1000
_STARTED = "started.json"


class Item(NamedTuple):
    """One utterance and where its array goes."""

    utt: str
    pieces: list[str]
    path: Path


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--lm", required=True, help="language model: a folder or a hub name")
    parser.add_argument(
        "--text", type=Path, required=True, help="text of pieces written by lm_tokens"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    parser.add_argument(
        "--dtype", choices=("float16", "float32"), default="float16", help="of the arrays on disk"
    )
    parser.add_argument("--batch_size", type=int, default=64, help="utterances at a time")
    parser.add_argument(
        "--device", default="auto", help="auto takes the first GPU if there is one; cpu; cuda:1"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    run(lambda: cache_features(args))


def cache_features(args: argparse.Namespace) -> None:
    """Embed what is not there yet; `features.json` comes last."""
    with _telling_when_full(args.output):
        _cache(args)


def _cache(args: argparse.Namespace) -> None:
    from espnet_otreg.models import language_model, lm_cache

    if args.batch_size < 1:
        raise UserError(f"--batch_size must be 1 or more, not {args.batch_size}")
    texts = read_table(args.text)
    items = _items(args.output, texts)
    made_of = {
        "lm": args.lm,
        **lm_cache.fingerprint(args.lm)._asdict(),
        "text": lm_cache.file_hash(args.text),
        "dtype": args.dtype,
    }
    done = args.output / lm_cache.FEATURES_JSON
    _refuse_strangers(args.output, made_of)
    if done.is_file() and (args.output / "feats.scp").is_file():
        dimension = read_json(done)["dimension"]
        if all(_complete(item, dimension, args.dtype) for item in items):
            logging.info("%s is complete already: nothing to do", args.output)
            return
    done.unlink(missing_ok=True)
    write_json(args.output / _STARTED, made_of)
    lm = language_model.LanguageModel(args.lm, _device(args.device))
    _check_pieces(lm, items, args.text)
    todo = [item for item in items if not _complete(item, lm.dimension, args.dtype)]
    _check_room(args.output, todo, lm.dimension, args.dtype)
    _embed(lm, items, todo, args)
    write_lines(args.output / "feats.scp", [f"{item.utt} {item.path}" for item in items])
    write_json(done, {**made_of, "dimension": lm.dimension, "utterances": len(items)})
    logging.info("%s: features of %d utterances", args.output, len(items))


def _items(output: Path, texts: Mapping[str, str]) -> list[Item]:
    """Number the utterances in the text's order: their names may not be fit for files."""
    return [
        Item(utt, row.split(), output / "arrays" / f"{n // PER_FOLDER:04d}" / f"{n:07d}.npy")
        for n, (utt, row) in enumerate(texts.items())
    ]


def _refuse_strangers(output: Path, made_of: dict[str, str]) -> None:
    """What is there must have been made of the same model, tokenizer, text and type."""
    if not output.exists() or not any(output.iterdir()):
        return
    if not (output / _STARTED).is_file():
        raise UserError(
            f"{output} is not empty and does not say what it was made of: choose another "
            "--output, or remove the folder"
        )
    before = read_json(output / _STARTED)
    for key, value in made_of.items():
        if key != "lm" and before.get(key) != value:
            raise UserError(
                f"{output} holds features made with another {key} ({before.get(key)}, language "
                f"model {before.get('lm')}) than asked for now ({value}): remove the folder, or "
                "choose another --output"
            )


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"--device {name!r} cannot be used ({reason}); try auto or cpu") from error
    return name


def _check_pieces(lm: "LanguageModel", items: Sequence[Item], text: Path) -> None:
    """Find all utterances that would stop the run before it begins."""
    problems = [
        f"{item.utt}: {problem}"
        for item in items
        if (problem := lm.tokenizer.problem(item.pieces, lm.max_pieces))
    ]
    if problems:
        raise UserError(
            f"{text}: {len(problems)} of {len(items)} utterances cannot be embedded, first "
            f"{problems[0]}; write the text with lm_tokens and this language model"
        )


def _complete(item: Item, dimension: int, dtype: str) -> bool:
    try:
        size = item.path.stat().st_size
    except OSError:
        return False
    return size == _size(len(item.pieces) + 2, dimension, dtype)


@cache
def _size(rows: int, dimension: int, dtype: str) -> int:
    import numpy as np

    return len(_serialise(np.zeros((rows, dimension), dtype)))


def _serialise(array: "np.ndarray") -> bytes:
    """Return the .npy file's content: numpy's own writing to files loses the cause of an error."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _check_room(output: Path, todo: Sequence[Item], dimension: int, dtype: str) -> None:
    needed = sum(_size(len(item.pieces) + 2, dimension, dtype) for item in todo)
    free = shutil.disk_usage(output).free
    if needed > free:
        raise UserError(
            f"the features left to make need {needed / 1e9:.2f} GB, and the disk of {output} has "
            f"{free / 1e9:.2f} GB free: make room, choose another --output or --dtype float16"
        )


def _batches(todo: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Utterances of similar length together, so that little is computed on padding."""
    by_length = sorted(todo, key=lambda item: len(item.pieces))
    for first in range(0, len(by_length), size):
        yield by_length[first : first + size]


def _embed(
    lm: "LanguageModel", items: Sequence[Item], todo: Sequence[Item], args: argparse.Namespace
) -> None:
    import numpy as np
    from tqdm import tqdm

    there = len(items) - len(todo)
    if there:
        logging.info("%d of %d utterances are there already", there, len(items))
    with tqdm(total=len(items), initial=there, unit="utt", desc="embedding") as bar:
        for batch in _batches(todo, args.batch_size):
            arrays = lm.features([item.pieces for item in batch])
            for item, array in zip(batch, arrays, strict=True):
                with np.errstate(over="ignore"):  # told below, with the utterance's name
                    stored = array.astype(args.dtype)
                if not np.isfinite(stored).all():
                    raise UserError(
                        f"{item.utt}: features of {args.lm} that are no finite {args.dtype} "
                        "numbers; use --dtype float32, or another language model"
                    )
                with writing(item.path, "wb") as stream:
                    stream.write(_serialise(stored))
                bar.update()


@contextmanager
def _telling_when_full(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"the disk of {output} is full ({error.strerror}); utterances that were finished are "
            "kept: make room, and the same command goes on from there"
        ) from error


if __name__ == "__main__":
    main()
