"""What both small language models are made with: their sentences, batches, and finished folder.

The folder is whole or not there. A report in it says what it was made with; the same request finds
it, another is refused.
"""

import hashlib
import logging
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json
from espnet_otreg.mini import lexicon, shapes
from espnet_otreg.mini.grammar import draw_split

Row = TypeVar("Row")


def parallel(split: str, meanings: int, seed: int) -> list[dict[str, str]]:
    """Freshly drawn meanings, each as text by language."""
    drawn = islice(draw_split(split, random.Random(f"masked lm {seed} {split}")), meanings)
    return [sentence.texts for sentence in drawn]


def by_length(
    rows: Sequence[Row], batch: int, rng: random.Random, length: Callable[[Row], int]
) -> Iterator[list[Row]]:
    """Batches of rows of similar length, the rows already in random order."""
    stretch = batch * 20
    chunks = [sorted(rows[i : i + stretch], key=length) for i in range(0, len(rows), stretch)]
    ordered = [row for chunk in chunks for row in chunk]
    starts = range(0, len(ordered), batch)
    for first in rng.sample(starts, len(starts)):
        yield ordered[first : first + batch]


def tables_digest() -> str:
    """Tell one state of the grammar's tables from another."""
    words = {name: text for name, text in vars(lexicon).items() if name.isupper()}
    return hashlib.sha256(repr((words, shapes.SHAPES)).encode()).hexdigest()[:16]


def is_made(output: Path, name: str, request: Mapping[str, Any]) -> bool:
    """Whether this very model is there, as its report `name` says; any other one is an error."""
    if not (output / name).is_file():
        if output.exists() and any(output.iterdir()):
            raise UserError(
                f"{output} is not empty and holds no finished mini language model: choose another "
                "--output, or remove the folder"
            )
        return False
    before = read_json(output / name)
    for key, value in request.items():
        if before.get(key) != value:
            raise UserError(
                f"{output} holds a mini language model made with {key} {before.get(key)!r}, and "
                f"{value!r} is asked for now: choose another --output, or remove the folder"
            )
    logging.info("%s is complete already: nothing to do", output)
    return True


def save(output: Path, tokenizer: Any, model: Any, name: str, report: Mapping[str, Any]) -> None:
    """Write everything beside `output`, the report under `name`, and rename it in the end."""
    beside = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        write_json(beside / name, report)
        os.replace(beside, output)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
