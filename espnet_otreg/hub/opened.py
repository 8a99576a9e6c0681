"""Opening a pack: a file, a folder or a hub name becomes a configuration whose paths are right."""

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import espnet_otreg
from espnet_otreg.errors import UserError
from espnet_otreg.hub.archive import META, SUFFIXES, unpack
from espnet_otreg.hub.base_models import point_to
from espnet_otreg.hub.facts import DECODING, FACTS, TOKENIZER, Facts, read_facts
from espnet_otreg.hub.located import inside, resolve


class Pack(NamedTuple):
    """An opened pack."""

    folder: Path
    config: Path  # a copy of config.yaml with paths of this machine; gone when the pack is closed
    model: Path
    facts: Facts
    decoding: dict[str, Any]
    tokenizer: Path | None  # of the language model whose pieces are the tokens
    further: dict[str, str]  # a language model for the beam search, in stock ESPnet's packs


@contextmanager
def opened(
    tag: str | Path,
    *,
    cache_dir: str | Path | None = None,
    bases: Mapping[str, str] | None = None,
    trust_remote_code: bool = False,
) -> Iterator[Pack]:
    """Open a pack until the body ends.

    `bases` are base models by part (encoder, decoder), in place of those the pack names. A pack
    that runs code which comes with a base model is refused unless it is trusted.
    """
    folder = find(tag, cache_dir).absolute()
    names = _read_meta(folder)
    facts = read_facts(folder) or Facts("espnet", "beam", "", str(tag))
    _tell_version(folder, facts)
    for name in (*names.values(), *facts.files):
        inside(folder, name, f"named in {META} or {FACTS}")
    for name in ("asr_train_config", "asr_model_file"):
        if name not in names:
            raise UserError(f"{folder / META} names no {name}: it is no pack of an ASR model")
    paths = {key: inside(folder, name, key) for key, name in names.items()}
    config = _read_mapping(paths.pop("asr_train_config"))
    if not trust_remote_code and _runs_code(config):
        raise UserError(
            f"{tag} runs Python code that comes with its base model: read that code, then give "
            "from_pretrained(..., trust_remote_code=True)"
        )
    resolve(config, folder)
    point_to(facts.bases, config, folder, bases or {})
    decoding = folder / DECODING
    with tempfile.TemporaryDirectory(prefix="espnet_otreg-") as beside:
        resolved = Path(beside) / "config.yaml"
        resolved.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        yield Pack(
            folder=folder,
            config=resolved,
            model=paths.pop("asr_model_file"),
            facts=facts,
            decoding=_read_mapping(decoding) if decoding.is_file() else {},
            tokenizer=folder / TOKENIZER if (folder / TOKENIZER).is_dir() else None,
            further={key: str(path) for key, path in paths.items() if key.startswith("lm_")},
        )


def find(tag: str | Path, cache_dir: str | Path | None = None) -> Path:
    """Return the folder of a pack: unpacked from a file, as it is, or fetched from the hub."""
    path = Path(tag).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        return unpack(path, default_cache() if cache_dir is None else Path(cache_dir))
    name = str(tag)
    if name.endswith(SUFFIXES) or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise UserError(f"{tag} does not exist: give a packed file, its folder, or user/name")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UserError(
            f"fetching {tag} needs the package huggingface_hub: pip install huggingface_hub"
        ) from error
    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, cache_dir=cache_dir))
    except (OSError, ValueError) as error:  # the hub's own errors are among these
        reason = str(error).strip().split("\n", 1)[0]
        raise UserError(
            f"{tag} is no file or folder here and cannot be fetched ({reason})"
        ) from error


def default_cache() -> Path:
    """Where packed files are unpacked."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "espnet_otreg"


def _read_meta(folder: Path) -> dict[str, str]:
    if not (folder / META).is_file():
        raise UserError(
            f"{folder} holds no {META}: it is no packed model; an experiment is packed by "
            "python -m espnet_otreg.bin.pack"
        )
    meta = _read_mapping(folder / META)
    try:
        return {**meta["yaml_files"], **meta["files"]}
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / META} names no files ({error}): pack again") from error


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML ({error}): fetch it again") from error
    if not isinstance(content, dict | None):
        raise UserError(f"{path} must hold a mapping, got {type(content).__name__}")
    return content or {}


def _runs_code(options: Any) -> bool:
    if isinstance(options, dict):
        return bool(options.get("trust_remote_code")) or any(map(_runs_code, options.values()))
    return False


def _tell_version(folder: Path, facts: Facts) -> None:
    ours = espnet_otreg.__version__
    if facts.espnet_otreg not in ("", ours):
        logging.warning(
            "%s was packed by espnet_otreg %s, and %s is installed: if it does not open, install "
            "that version",
            *(folder, facts.espnet_otreg, ours),
        )
