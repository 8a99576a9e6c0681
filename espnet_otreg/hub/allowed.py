"""What a foreign configuration may ask for: parts and options that open nothing by themselves.

ESPnet has parts that import further packages, read pickles or fetch models by whatever name the
configuration gives. A pack gets none of them: what is not listed here is refused, and options that
opening a model has no use for are left out of the configuration that ESPnet is given.
"""

import re
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from espnet_otreg.errors import UserError, one_line

PARTS: dict[str, tuple[str, ...]] = {
    "frontend": ("default", "sliding_window", "wav2vec_cnn", "hf_speech"),
    "specaug": ("specaug",),
    "normalize": ("global_mvn", "utterance_mvn"),
    "preencoder": ("sinc", "linear"),
    "encoder": (
        *("conformer", "transformer", "transformer_multispkr", "contextual_block_transformer"),
        *("contextual_block_conformer", "vgg_rnn", "rnn", "branchformer", "e_branchformer"),
        *("multiconv_conformer", "hf_speech", "espnet_speech"),
    ),
    "postencoder": ("length_adaptor", "transfer_adapter", "stack_adapter", "conv_adapter"),
    "decoder": (
        *("transformer", "lightweight_conv", "lightweight_conv2d", "dynamic_conv"),
        *("dynamic_conv2d", "rnn", "transducer", "mlm", "causal_lm"),
    ),
    "model": ("espnet", "maskctc", "pit_espnet", "otreg", "ot_transfer", "slm"),
}
LM_PARTS: dict[str, tuple[str, ...]] = {
    "lm": ("seq_rnn", "transformer"),
    "model": ("lm", "lm_multitask"),
}
BASE_PARTS = {  # part -> its class in YAML -> the option that names the base model
    "frontend": {"hf_speech": "model"},
    "encoder": {"hf_speech": "model", "espnet_speech": "experiment"},
    "decoder": {"causal_lm": "model"},
}
BESIDE_PARTS = (  # what else of a configuration decides how a model is built or decoded
    *("token_list", "token_type", "bpemodel", "non_linguistic_symbols", "input_size", "init"),
    *("ctc_conf", "joint_net_conf", "use_adapter"),
)
TOKEN_TYPES = ("bpe", "char", "word", "phn", None)
CTC_TYPES = ("builtin", "builtin2", None)
ATTENTION = ("eager", "sdpa", None)  # others load further packages, or code from the hub
LORA = (  # of peft's options
    *("r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "bias", "use_dora"),
    *("use_rslora", "fan_in_fan_out", "layers_to_transform", "layers_pattern", "rank_pattern"),
    *("alpha_pattern", "modules_to_save", "init_lora_weights"),
)
LORA_STARTS = (True, False, "gaussian", None)
HOW_TO_TRUST = "read that code, then allow it by from_pretrained(..., trust_remote_code=True)"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping with names as keys; tags of Python are no YAML here."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:  # a folder, say
        raise UserError(f"{path} is not valid YAML ({one_line(error)}): fetch it again") from error
    if not isinstance(content, dict | None) or not all(isinstance(k, str) for k in content or ()):
        raise UserError(f"{path} must hold a mapping of options, got {type(content).__name__}")
    return content or {}


def needed(config: Mapping[str, Any], parts: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Keep what opening a model needs; the rest is of training and names things elsewhere."""
    names = {*parts, *(f"{part}_conf" for part in parts), *BESIDE_PARTS}
    return {key: value for key, value in config.items() if key in names}


def check_config(
    config: Mapping[str, Any], where: Path, *, base_parts: bool = True, trusted: bool = False
) -> None:
    """Refuse a configuration of an ASR model that asks for more than is listed above.

    `base_parts` tells whether it may name base models; `trusted`, whether their code may run.
    """
    check_code(config, where, trusted)
    _check_parts(config, where, PARTS, base_parts)
    if config.get("token_type") not in TOKEN_TYPES:
        _refuse(where, "token_type", config["token_type"], TOKEN_TYPES)
    if (config.get("ctc_conf") or {}).get("ctc_type") not in CTC_TYPES:
        _refuse(where, "ctc_conf.ctc_type", config["ctc_conf"]["ctc_type"], CTC_TYPES)
    check_attention(config, where)
    lora = (config.get("decoder_conf") or {}).get("lora_conf") or {}
    if config.get("decoder") == "causal_lm":
        _check_lora(lora, where)


def check_lm_config(config: Mapping[str, Any], where: Path) -> None:
    """Refuse a language model for the beam search that would open files or fetch models."""
    check_code(config, where, trusted=False)
    _check_parts(config, where, LM_PARTS, base_parts=False)


def check_code(options: Any, where: Path, trusted: bool) -> None:
    """Refuse options that let Python code run which comes with a model."""
    if trusted:
        return
    for key, value in walk(options):
        asked = key == "trust_remote_code" and value not in (False, None)
        if asked or (key == "auto_map" and value):
            raise UserError(
                f"{where} runs Python code that comes with a model ({key}): {HOW_TO_TRUST}"
            )


def check_attention(options: Any, where: Path) -> None:
    """Refuse implementations of attention that are packages or code of the hub."""
    for key, value in walk(options):
        if isinstance(key, str) and key.lstrip("_").startswith("attn_implementation"):
            for name in value.values() if isinstance(value, dict) else [value]:
                if name not in ATTENTION:
                    _refuse(where, key, name, ATTENTION)


def walk(options: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every key with its value, at any depth and inside lists.

    A value that is there many times, or in itself, as YAML's aliases allow, is entered once.
    """
    seen: set[int] = set()
    waiting = [options]
    while waiting:
        value = waiting.pop()
        if not isinstance(value, dict | list | tuple) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            yield from value.items()
        waiting.extend(value.values() if isinstance(value, dict) else value)


def is_hub_name(name: str) -> bool:
    """Tell whether a name can be of the hub and is no file or folder from here."""
    return _HUB_NAME.fullmatch(name) is not None and ".." not in name and not Path(name).exists()


def _check_parts(
    config: Mapping[str, Any], where: Path, parts: Mapping[str, tuple[str, ...]], base_parts: bool
) -> None:
    for part, allowed in parts.items():
        name = config.get(part)
        if not base_parts:
            allowed = tuple(each for each in allowed if each not in BASE_PARTS.get(part, ()))
        if name is not None and name not in allowed:
            _refuse(where, part, name, allowed)
    for key in ("joint_net_conf", "ctc_conf", *(f"{part}_conf" for part in parts)):
        options = config.get(key)
        if not isinstance(options, dict | None) or not all(
            isinstance(k, str) for k in options or ()
        ):
            raise UserError(f"{where}: {key} must be a mapping of options, got {_short(options)}")
    if not isinstance(config.get("token_list"), list | str | None):
        raise UserError(f"{where}: token_list must be a list, got {_short(config['token_list'])}")
    if config.get("use_adapter"):
        _refuse(where, "use_adapter", config["use_adapter"], (False,))


def _check_lora(lora: Any, where: Path) -> None:
    if not isinstance(lora, dict):
        raise UserError(f"{where}: lora_conf must be a mapping of options, got {_short(lora)}")
    for key, value in lora.items():
        if key not in LORA:
            _refuse(where, "an option of decoder_conf.lora_conf", key, LORA)
        if key == "init_lora_weights" and value not in LORA_STARTS:
            _refuse(where, "decoder_conf.lora_conf.init_lora_weights", value, LORA_STARTS)


def _refuse(where: Path, key: str, value: Any, allowed: tuple[Any, ...]) -> None:
    listed = ", ".join("null" if each is None else str(each) for each in allowed)
    raise UserError(
        f"{where}: {key} is {_short(value)}, and a pack may ask for {listed}; whatever else it is, "
        "open it with ESPnet itself, if you trust who made it"
    )


def _short(value: Any) -> str:
    return reprlib.repr(value)  # which stays short whatever YAML's aliases make of a value
