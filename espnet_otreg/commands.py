"""How pages show the commands that made them."""

import os
import shlex
from collections.abc import Iterable


def shown(words: Iterable[str]) -> str:
    """Write a command's words with paths that name no folder of this machine.

    >>> shown(["--config", f"{os.getcwd()}/a.yaml", f"model={os.getcwd()}/b", "1"])
    '--config a.yaml model=b 1'
    """
    return shlex.join(map(_without_machine, words))


def _without_machine(word: str) -> str:
    name, sign, value = word.rpartition("=")
    return f"{name}{sign}{os.path.relpath(value)}" if os.path.isabs(value) else word
