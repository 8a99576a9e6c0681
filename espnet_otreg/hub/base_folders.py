"""Folders of base models, looked through before anything in them is opened.

transformers follows what it finds in a folder: code that `auto_map` names, an adapter that stands
on another model, packages that a quantised model asks for. ESPnet follows its config.yaml.
"""

import json
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.hub.allowed import (
    HOW_TO_TRUST,
    check_attention,
    check_code,
    check_config,
    read_mapping,
    walk,
)
from espnet_otreg.hub.located import inside
from espnet_otreg.packages import ORIGIN
from espnet_otreg.packages.unpacking import LICENCES
from espnet_otreg.pretrained.masked_lm import TOKENIZER_FILES, WEIGHTS

PLAIN = ("tokenizer.json", "vocab.json", "added_tokens.json")  # tables, where a key can be any word
CONFIGS = (
    *("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("preprocessor_config.json", "processor_config.json", "normalizer.json"),
    *("chat_template.json", "*.safetensors.index.json", "pytorch_model*.bin.index.json"),
    ORIGIN,
)
LARGEST = 64 << 20  # bytes of a configuration
PLACES = ("_file", "_files", "_path", "_dir", "weights")  # ends of keys whose values are files
ONCE = (  # where a model was on the machine that made it; what is found in the folder counts
    *("name_or_path", "_name_or_path", "special_tokens_map_file", "tokenizer_file"),
)


def check_experiment(folder: Path, checkpoint: Any, *, packed: bool, trusted: bool = False) -> None:
    """Look through an ESPnet experiment that is a base model; what is packed names no files."""
    where = folder / "config.yaml"
    if packed:
        inside(folder, "config.yaml", "configuration of a base model")
    elif not where.is_file():
        return  # the encoder says what it misses
    config = read_mapping(where)
    if not isinstance(checkpoint, str) or not _is_plain(checkpoint):
        raise UserError(f"{where}: checkpoint {checkpoint} must be the name of a file beside it")
    check_config(config, where, base_parts=False, trusted=trusted)
    if not packed:
        return
    inside(folder, checkpoint, "checkpoint of a base model")
    if (config.get("normalize_conf") or {}).get("stats_file") or isinstance(
        config.get("token_list"), str
    ):
        raise UserError(
            f"{where} names files (stats_file or token_list), which a base model in a pack cannot: "
            "give the folder it was trained in when the pack is opened"
        )


def check_pretrained(folder: Path, trusted: bool = False) -> None:
    """Look through a pack's folder that transformers will open."""
    for path in sorted(folder.iterdir()):
        name = path.name
        inside(folder, name, "part of a base model")
        if path.is_dir() and not (trusted and name == "custom_generate"):
            raise UserError(f"{folder} holds a folder, {name}, which base models have no use for")
        if name.endswith(".py") and not trusted:
            raise UserError(f"{path} is Python code that comes with a model: {HOW_TO_TRUST}")
        if name.endswith(".json") and name not in PLAIN:
            if not any(fnmatch(name, known) for known in CONFIGS):
                raise UserError(f"{path} is no file of a plain model, and others may follow it")
            _check_json(path, trusted)
    check_code(_yamls(folder), folder, trusted)


def is_read(name: str, conf: Mapping[str, Any]) -> bool:
    """Tell whether a pretrained model's file goes on in a pack: data, licences, code if it runs."""
    if name.endswith(".py"):
        return bool(conf.get("trust_remote_code"))
    known = (*PLAIN, *CONFIGS, *TOKENIZER_FILES, *WEIGHTS, "chat_template.jinja")
    return name.startswith(LICENCES) or any(fnmatch(name, each) for each in known)


def _check_json(path: Path, trusted: bool) -> None:
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path} has {path.stat().st_size} bytes: no configuration is that large")
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}): fetch it again") from error
    check_code(options, path, trusted)
    check_attention(options, path)
    for key, value in walk(options):
        if key == "quantization_config" and value:
            raise UserError(
                f"{path}: a quantised model asks for further packages, which a pack may not: give "
                "its folder when the pack is opened"
            )
        if key == "weight_map" and isinstance(value, dict):
            _check_names(path, key, list(value.values()))
        elif str(key).endswith(PLACES) and key not in ONCE:
            _check_names(path, key, value if isinstance(value, list) else [value])


def _check_names(path: Path, key: Any, names: list[Any]) -> None:
    for name in names:
        if isinstance(name, str) and name and not _is_plain(name):
            raise UserError(f"{path}: {key} is {name}, which is outside the model's folder")


def _is_plain(name: str) -> bool:
    return PurePosixPath(name).name == name != ".." and "\\" not in name


def _yamls(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(path for end in ("*.yaml", "*.yml") for path in folder.glob(end))
    return [read_mapping(path) for path in paths]
