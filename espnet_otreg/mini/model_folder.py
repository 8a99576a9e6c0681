"""The folder of a finished mini language model: whole or not there, and told from any other.

A report in it says what it was made with; the same request finds it, another is refused.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json
from espnet_otreg.mini import lexicon, shapes


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
