"""Reading a CTranslate2 `model.bin`, whole or cut into pieces, without its package.

The file holds, in little endian: a version, the model's specification and its revision, a count of
variables, and for each its name, rank, dimensions, type and bytes; then aliases, which are further
names of variables. A string is its length with a final zero, in 16 bits, and its bytes.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from espnet_otreg.errors import UserError

VERSION = 6  # of the binary format, since 2022
TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # 5, bfloat16, is none of numpy's


class Model(NamedTuple):
    """What a file holds."""

    specification: str  # such as WhisperSpec
    variables: dict[str, np.ndarray]  # aliases included


def read_model(paths: Sequence[Path]) -> Model:
    """Read a model; several paths are pieces of one file, in order."""
    where = " + ".join(path.name for path in paths)
    data = _Data(b"".join(path.read_bytes() for path in paths), where)
    version = data.number("I")
    if version != VERSION:
        raise UserError(
            f"{where} is no CTranslate2 model of version {VERSION} (it begins with {version}): "
            "convert the model again with a newer ctranslate2"
        )
    specification = data.text()
    data.number("I")  # its revision
    variables = {}
    for _ in range(data.number("I")):
        name = data.text()
        shape = [data.number("I") for _ in range(data.number("B"))]
        kind = data.number("B")
        if kind not in TYPES:
            raise UserError(
                f"{where}: {name} is of type {kind}, and only 32 and 16 bit floats and integers "
                "are read: convert the model with --quantization float16"
            )
        values = np.frombuffer(data.take(data.number("I"), name), dtype=TYPES[kind])
        if values.size != np.prod(shape, dtype=np.int64):
            raise UserError(f"{where} is damaged: {name} has {values.size} values, not {shape}")
        variables[name] = values.reshape(shape)
    for _ in range(data.number("I")):
        alias, name = data.text(), data.text()
        if name not in variables:
            raise UserError(f"{where} is damaged: {alias} stands for {name}, which is not there")
        variables[alias] = variables[name]
    return Model(specification, variables)


class _Data:
    """Bytes, read from the front; an end that comes too early is told."""

    def __init__(self, content: bytes, where: str) -> None:
        self.content, self.where, self.at = content, where, 0

    def take(self, size: int, what: str) -> bytes:
        if self.at + size > len(self.content):
            raise UserError(
                f"{self.where} is cut short: {what} needs {size} bytes at {self.at} of "
                f"{len(self.content)}; fetch it again"
            )
        self.at += size
        return self.content[self.at - size : self.at]

    def number(self, code: str) -> int:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(code), "a number"))[0]

    def text(self) -> str:
        return self.take(self.number("H"), "a name")[:-1].decode("utf-8", "replace")
