"""Decoding options that travel with a model: those that change what it writes."""

import inspect
import logging
import reprlib
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from espnet_otreg.errors import UserError
from espnet_otreg.pretrained.bases import DTYPES

OPTIONS = {
    "beam": (
        *("beam_size", "ctc_weight", "lm_weight", "ngram_weight", "penalty", "maxlenratio"),
        *("minlenratio", "nbest", "normalize_length", "streaming", "transducer_conf", "time_sync"),
        *("dtype", "partial_ar", "threshold_probability", "max_seq_len", "max_mask_parallel"),
    ),
    "ctc_greedy": (),
    "slm": ("beam_size", "ctc_weight", "max_new_tokens"),
}


def default_method(config: Mapping[str, Any]) -> str:
    """Name the method that suits a trained model."""
    if config.get("model") == "slm":
        return "slm"
    ctc_alone = (config.get("model_conf") or {}).get("ctc_weight") == 1.0
    return "ctc_greedy" if ctc_alone else "beam"


def sampling_rate(config: Mapping[str, Any]) -> int:
    """Return the rate that a model listens at; ESPnet takes `16k` for 16000."""
    import humanfriendly

    return humanfriendly.parse_size(str((config.get("frontend_conf") or {}).get("fs", 16000)))


def decoding_options(method: str, config: Path | None, arguments: str) -> dict[str, Any]:
    """Read a decoding YAML and the arguments after it, as stage 12 does."""
    given: dict[str, Any] = {}
    if config is not None:
        if not config.is_file():
            raise UserError(f"{config} does not exist: --inference_config is a decoding YAML")
        given = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
        if not isinstance(given, dict):
            raise UserError(f"{config} must hold a mapping of options, got {given!r}")
    words = shlex.split(arguments)
    names = words[::2]
    if len(words) % 2 or any(not name.startswith("--") for name in names):
        raise UserError(f"--inference_args must be `--option value ...`, got {arguments!r}")
    given |= {
        name[2:]: yaml.safe_load(value) for name, value in zip(names, words[1::2], strict=True)
    }
    left = sorted(given.keys() - set(OPTIONS[method]))
    if left:
        logging.info("not packed, as method %s writes the same without: %s", method, left)
    return {name: value for name, value in given.items() if name in OPTIONS[method]}


def check_decoding(method: str, options: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """Return a pack's decoding options; one that is not listed, or no plain value, is refused."""
    known = OPTIONS.get(method, ())
    for name, value in options.items():
        if name not in known:
            raise UserError(
                f"{where}: {name} is no option that a pack may set; known: {', '.join(known)}"
            )
        values = (
            value.values() if name == "transducer_conf" and isinstance(value, dict) else [value]
        )
        if not all(isinstance(each, int | float | str | None) for each in values):
            raise UserError(f"{where}: {name} must be a plain value, got {reprlib.repr(value)}")
        if name == "dtype" and value not in DTYPES:
            raise UserError(f"{where}: dtype must be one of {', '.join(DTYPES)}, got {value!r}")
    return dict(options)


def accepted(function: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Refuse options that a recogniser does not have."""
    known = inspect.signature(function).parameters
    unknown = sorted(options.keys() - known.keys())
    if unknown:
        raise UserError(f"unknown option {unknown[0]}; known: {', '.join(known)}")
    return options
