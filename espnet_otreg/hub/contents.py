"""What goes into a pack: all that decoding needs, in one folder that names nothing outside it."""

import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import espnet_otreg
from espnet_otreg.errors import UserError
from espnet_otreg.files import write_lines, writing
from espnet_otreg.hub.allowed import ATTENTION, BASE_PARTS, PARTS, check_config, needed
from espnet_otreg.hub.base_models import find_bases, include
from espnet_otreg.hub.decoding import decoding_options, default_method, sampling_rate
from espnet_otreg.hub.facts import CONFIG, DECODING, METHODS, MODEL, TOKENIZER, WEIGHTS, Facts
from espnet_otreg.hub.located import bring_along
from espnet_otreg.weights import copy_for_stock, read_weights, write_weights


class Wanted(NamedTuple):
    """What to pack, and how it is decoded."""

    experiment: Path
    model_file: str
    name: str  # of the model, for its card
    loaded_as: str  # what the card's example calls the pack
    method: str | None = None  # default: what suits the model
    inference_config: Path | None = None
    inference_args: str = ""
    lm: str | None = None  # masked language model whose pieces are the tokens
    include_base: bool = False
    trained_in: Path | None = None  # where `experiment` is an export of another
    stock: bool = False  # to be opened by stock ESPnet


class Contents(NamedTuple):
    """A pack before it is written."""

    facts: Facts
    config: dict[str, Any]  # as packed
    trained_as: dict[str, Any]  # as training left it
    decoding: dict[str, Any]


def assemble(wanted: Wanted, folder: Path) -> Contents:
    """Fill an empty folder with configuration, weights and what they name."""
    weights = wanted.experiment / wanted.model_file
    if not weights.is_file():
        raise UserError(f"{weights} does not exist: train first, or check --model_file")
    config = read_config(wanted.experiment / CONFIG)
    trained_as = read_config((wanted.trained_in or wanted.experiment) / CONFIG)
    model = str(config.get("model", "espnet"))
    state = read_weights(weights)
    if wanted.stock:
        copy_for_stock(weights, folder / MODEL, config)
    else:
        write_weights(state, folder / WEIGHTS)
    bring_along(config, folder)
    bases = find_bases(config, state)
    if wanted.include_base:
        if not bases:
            raise UserError(f"--include_base: model {model} has no base model; leave it out")
        bases = tuple(include(base, config, folder) for base in bases)
    for base in bases:
        config[f"{base.part}_conf"][base.option] = base.folder or base.name
    if wanted.lm is not None:
        _copy_tokenizer(wanted.lm, folder / TOKENIZER)
    config |= {"init_param": [], "output_dir": None}  # folders that other machines lack
    _leave_attention(config)
    if not wanted.stock:  # else nobody could open it
        check_config(needed(config, PARTS), wanted.experiment / CONFIG, trusted=True)
    method = wanted.method or default_method(config)
    if (model == "slm") != (method == "slm") or method not in METHODS:
        raise UserError(f"--method {method} does not decode model: {model}")
    decoding = decoding_options(method, wanted.inference_config, wanted.inference_args)
    with writing(folder / CONFIG) as stream:
        yaml.safe_dump(config, stream, sort_keys=False, allow_unicode=True)
    lines = yaml.safe_dump(decoding, sort_keys=False) if decoding else ""
    write_lines(folder / DECODING, [f"# How the results were decoded: {method}", lines.strip()])
    facts = Facts(
        model=model,
        method=method,
        espnet_otreg=espnet_otreg.__version__,
        name=wanted.name,
        sampling_rate=sampling_rate(config),
        files=tuple(sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())),
        bases=bases,
        loaded_as=wanted.loaded_as,
    )
    facts.write(folder)
    return Contents(facts, config, trained_as, decoding)


def read_config(path: Path) -> dict[str, Any]:
    """Read a training's config.yaml."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: --asr_exp must be the folder of a training")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML ({error})") from error
    if not isinstance(config, dict) or "token_list" not in config:
        raise UserError(f"{path} does not describe a trained ESPnet ASR model: no token_list")
    return config


def _leave_attention(config: dict[str, Any]) -> None:
    """Leave out an implementation of attention that only some machines have."""
    for part in BASE_PARTS:
        conf = config.get(f"{part}_conf") or {}
        if conf.get("attn_implementation") not in ATTENTION:
            name = conf.pop("attn_implementation")
            logging.info("not packed: %s_conf.attn_implementation %s is this machine's", part, name)


def _copy_tokenizer(lm: str, folder: Path) -> None:
    """Copy what turns the language model's pieces back into sentences."""
    from espnet_otreg.pretrained.masked_lm import TOKENIZER_FILES, resolve

    source = resolve(lm)
    folder.mkdir()
    for path in sorted(
        {p for name in ("config.json", *TOKENIZER_FILES) for p in source.glob(name)}
    ):
        shutil.copyfile(path, folder / path.name)
    logging.info("the tokenizer of %s goes along, its weights do not", lm)
