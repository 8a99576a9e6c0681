"""Opening a pack: a file, a folder or a hub name becomes a configuration whose paths are right.

A pack is data, whoever made it. What opening needs of its configuration is taken, pointed to files
of the pack, and checked as ESPnet will read it: parts and options that are listed, tensors alone.
"""

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

import espnet_otreg
from espnet_otreg.errors import UserError
from espnet_otreg.hub.allowed import (
    LM_PARTS,
    PARTS,
    check_code,
    check_config,
    check_lm_config,
    needed,
    read_mapping,
)
from espnet_otreg.hub.archive import META, SUFFIXES, unpack
from espnet_otreg.hub.base_folders import check_experiment, check_pretrained
from espnet_otreg.hub.base_models import base_options, point_to
from espnet_otreg.hub.decoding import check_decoding, default_method, sampling_rate
from espnet_otreg.hub.facts import CONFIG, DECODING, FACTS, METHODS, TOKENIZER, Facts, read_facts
from espnet_otreg.hub.located import inside, resolve, resolve_upwards
from espnet_otreg.pretrained.bases import CHECKPOINT

CHECKPOINTS = (  # of an experiment, the best first
    "valid.loss_ce.best.pth",  # of speech language models
    *("valid.acc.ave.pth", "valid.loss.ave.pth", "train.total_count.ave.pth"),
    *("valid.loss.best.pth", "valid.acc.best.pth", "latest.pth"),
)


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
    if (folder / FACTS).exists():
        inside(folder, FACTS, "what a pack says of itself")
    facts = read_facts(folder) or Facts("espnet", "beam", "", str(tag))
    _tell_version(folder, facts)
    for name in (*names.values(), *facts.files):
        inside(folder, name, f"named in {META} or {FACTS}")
    for name in ("asr_train_config", "asr_model_file"):
        if name not in names:
            raise UserError(f"{folder / META} names no {name}: it is no pack of an ASR model")
    paths = {key: inside(folder, name, key) for key, name in names.items()}
    config = _asr_config(paths["asr_train_config"], folder, facts, bases or {}, trust_remote_code)
    further = {key: path for key, path in paths.items() if key in ("lm_train_config", "lm_file")}
    tokenizer = folder / TOKENIZER
    if tokenizer.is_dir():
        check_pretrained(inside(folder, TOKENIZER, "tokenizer"))
    with tempfile.TemporaryDirectory(prefix="espnet_otreg-") as beside:
        if "lm_train_config" in further:
            lm_config = _lm_config(further["lm_train_config"], folder)
            further["lm_train_config"] = _write(lm_config, Path(beside) / "lm.yaml")
        yield Pack(
            folder=folder,
            config=_write(config, Path(beside) / CONFIG),
            model=paths["asr_model_file"],
            facts=facts,
            decoding=_decoding(folder, facts.method),
            tokenizer=tokenizer if tokenizer.is_dir() else None,
            further={key: str(path) for key, path in further.items()},
        )


@contextmanager
def opened_experiment(
    folder: Path, checkpoint: str | None = None, *, trust_remote_code: bool = False
) -> Iterator[Pack]:
    """Open the folder of a training as if it were packed, until the body ends.

    Files that its config.yaml names by relative paths are looked for here, and then in the folders
    above the experiment: it was trained in one of them. Without `checkpoint`, the first of
    CHECKPOINTS that is there is taken.
    """
    folder = folder.absolute()
    config = needed(read_mapping(folder / CONFIG), PARTS)
    if "token_list" not in config:
        raise UserError(f"{folder / CONFIG} does not describe a trained ASR model: no token_list")
    names = CHECKPOINTS if checkpoint is None else (checkpoint,)
    model = next((folder / name for name in names if (folder / name).is_file()), None)
    if model is None:
        raise UserError(
            f"{folder} holds no {' or '.join(names)}: train first, or name a file in it"
        )
    resolve_upwards(config, base_options(config), folder)
    method = default_method(config)
    with tempfile.TemporaryDirectory(prefix="espnet_otreg-") as beside:
        path = Path(_write(config, Path(beside) / CONFIG))
        check_own(Path(beside), trust_remote_code)
        _check_statistics((config.get("normalize_conf") or {}).get("stats_file"))
        kind, version = str(config.get("model", "espnet")), espnet_otreg.__version__
        facts = Facts(kind, method, version, folder.name, sampling_rate=sampling_rate(config))
        logging.info("%s: %s", folder, model.name)
        yield Pack(folder, path, model, facts, {}, None, {})


def check_own(experiment: Path, trust_remote_code: bool = False) -> None:
    """Look through an experiment's folder, which may come from elsewhere, before it is opened.

    Its base models lie where its config.yaml says; nothing in them is run either.
    """
    where = experiment / CONFIG
    config = read_mapping(where)
    check_config(config, where, trusted=trust_remote_code)
    if base_options(config).get("encoder") == "experiment":
        conf = config.get("encoder_conf") or {}
        check_experiment(
            Path(str(conf.get("experiment"))),
            conf.get("checkpoint", CHECKPOINT),
            packed=False,
            trusted=trust_remote_code,
        )


def _asr_config(
    path: Path, folder: Path, facts: Facts, bases: Mapping[str, str], trusted: bool
) -> dict[str, Any]:
    """Return what ESPnet will read, checked after the last change to it."""
    whole = read_mapping(path)
    check_code(whole, path, trusted)
    config = needed(whole, PARTS)
    resolve(config, folder)
    point_to(facts.bases, config, folder, bases, trusted)
    check_config(config, path, trusted=trusted)
    _check_statistics((config.get("normalize_conf") or {}).get("stats_file"))
    return config


def _lm_config(path: Path, folder: Path) -> dict[str, Any]:
    """Return the configuration of a language model for the beam search, of stock ESPnet's packs."""
    whole = read_mapping(path)
    check_code(whole, path, trusted=False)
    config = needed(whole, LM_PARTS)
    resolve(config, folder)
    check_lm_config(config, path)
    return config


def _check_statistics(path: str | None) -> None:
    """Refuse objects in a file of statistics, which would be unpickled, before ESPnet reads it."""
    if path is None:
        return
    try:
        with open(path, "rb") as stream:
            found = np.load(stream, allow_pickle=False)
            arrays = [found] if isinstance(found, np.ndarray) else [found[key] for key in found]
    except Exception as error:  # a file made to do harm can break its reader in any way
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"{path} holds no plain arrays ({reason}): fetch it again") from error
    # of an archive numpy gives what is no array as bytes
    if not all(isinstance(array, np.ndarray) and array.dtype.kind in "fiu" for array in arrays):
        raise UserError(f"{path} holds arrays of something else than numbers: fetch it again")


def _decoding(folder: Path, method: str) -> dict[str, Any]:
    path = folder / DECODING
    if not path.is_file() or method not in METHODS:  # a later version's; whoever asked is told
        return {}
    options = read_mapping(inside(folder, DECODING, "decoding options"))
    check_code(options, path, trusted=False)
    return check_decoding(method, options, path)


def _write(config: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    return path


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
            "python -m espnet_otreg.stages.pack"
        )
    meta = read_mapping(inside(folder, META, "list of files"))
    try:
        names = {**meta["yaml_files"], **meta["files"]}
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / META} names no files ({error}): pack again") from error
    if not all(isinstance(word, str) for row in names.items() for word in row):
        raise UserError(f"{folder / META} names something that is no file: pack again")
    return names


def _tell_version(folder: Path, facts: Facts) -> None:
    ours = espnet_otreg.__version__
    if facts.espnet_otreg not in ("", ours):
        logging.warning(
            "%s was packed by espnet_otreg %s, and %s is installed: if it does not open, install "
            "that version",
            *(folder, facts.espnet_otreg, ours),
        )
