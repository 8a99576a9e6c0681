"""What stock ESPnet opens without this package: configs, and packs made by its own command."""

import functools
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from espnet_otreg.errors import UserError
from espnet_otreg.files import writing
from espnet_otreg.hub.facts import FACTS

STOCK_NAME = {"otreg": "espnet", "ot_transfer": "espnet"}  # -> the stock model it extends
OWN_OPTIONS = ("ot_conf", "transfer_conf", "alignment_conf")  # of model_conf
OWN = {  # the names that `espnet_otreg.tasks.asr` registers; importing it takes seconds
    "model": ("otreg", "ot_transfer", "slm"),
    "frontend": ("hf_speech",),
    "encoder": ("hf_speech", "espnet_speech"),
    "postencoder": ("transfer_adapter", "stack_adapter", "conv_adapter"),
    "decoder": ("causal_lm",),
}
CONFIG_OPTION = "asr_train_config"  # of espnet2.bin.pack
STOCK_CONFIG = "stock_config.yaml"
PICTURES = "images"  # asr.sh names this folder, which training without matplotlib does not make

Packer = Callable[..., None]


def stock_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the stock model with the same weights; `model` must have one."""
    conf = {k: v for k, v in (config.get("model_conf") or {}).items() if k not in OWN_OPTIONS}
    return {**config, "model": STOCK_NAME[config["model"]], "model_conf": conf, "init_param": []}


def packing_for_stock(pack: Packer) -> Packer:
    """Wrap ESPnet's pack function: what it makes of an experiment of ours opens in stock ESPnet.

    Packs of our own `stages.pack` say in `otreg.json` how they are opened, and stay as they are.
    """

    @functools.wraps(pack)
    def packing(
        files: Mapping[str, str | Path],
        yaml_files: Mapping[str, str | Path],
        outpath: str | Path,
        option: Iterable[str | Path] = (),
    ) -> None:
        option = list(option)
        config_file = yaml_files.get(CONFIG_OPTION)
        ours = any(Path(path).name == FACTS for path in option)
        if config_file is not None and Path(config_file).is_file() and not ours:
            try:
                config = _read(Path(config_file))
                option = _without_missing_pictures(option, config)
                yaml_files = {**yaml_files, CONFIG_OPTION: _for_stock(Path(config_file), config)}
            except UserError as error:
                sys.exit(f"error: {error}")
        pack(files=files, yaml_files=yaml_files, outpath=outpath, option=option)

    return packing


def _read(config_file: Path) -> Mapping[str, Any]:
    config = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    return config if isinstance(config, dict) else {}


def _for_stock(config_file: Path, config: Mapping[str, Any]) -> Path:
    """Name the config to pack: for `otreg` a stock one, written beside the config."""
    own = [
        f"{part}: {config[part]}"
        for part, names in OWN.items()
        if config.get(part) in names and config[part] != "otreg"
    ]
    if own:
        raise UserError(
            f"{config_file} has {', '.join(own)}, which stock ESPnet cannot open: pack it by "
            f"`python3 -m espnet_otreg.stages.pack --asr_exp {config_file.parent} --output X.zip`"
        )
    if config.get("model") != "otreg":
        return config_file
    beside = config_file.with_name(STOCK_CONFIG)
    with writing(beside) as stream:
        yaml.safe_dump(stock_config(config), stream, sort_keys=False, allow_unicode=True)
    logging.warning("%s has model: otreg: packed as the stock model, by %s", config_file, beside)
    return beside


def _without_missing_pictures(
    option: list[str | Path], config: Mapping[str, Any]
) -> list[str | Path]:
    if config.get("use_matplotlib", True):
        return option
    missing = [path for path in option if Path(path).name == PICTURES and not Path(path).exists()]
    for path in missing:
        logging.warning("%s is left out of the pack: use_matplotlib: false made no pictures", path)
    return [path for path in option if path not in missing]
