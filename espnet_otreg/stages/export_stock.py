"""Turn an experiment of this package's models into one whose model is stock ESPnet's.

The regulariser has no parameters, so an `otreg` model's weights are copied as they are; only the
config's `model` and `ot_conf` go, and stock ESPnet loads the result without this package. Of an
`ot_transfer` model the language model's side goes; its `postencoder: transfer_adapter` stays, so
the result is decoded by this package's commands. Files the config points at (tokens, BPE model,
statistics) are copied along.
"""

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from espnet_otreg.errors import UserError
from espnet_otreg.files import writing
from espnet_otreg.hub.stock import STOCK_NAME, stock_config
from espnet_otreg.stages.command import run
from espnet_otreg.weights import copy_for_stock

OWN_PARTS = ("transfer_adapter",)  # of the model; they need this package at inference too
TRAINING_ONLY = ("layer_projections.", "plan_projection.")  # weights that inference has no use for


def get_parser() -> argparse.ArgumentParser:
    """Options of the export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--asr_exp", required=True, help="experiment folder with config.yaml")
    parser.add_argument("--model_file", default="valid.acc.ave.pth", help="file in that folder")
    parser.add_argument("--output", required=True, help="new folder: config.yaml, model.pth, files")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Export and say how to use the result."""
    args = get_parser().parse_args(cmd)
    run(lambda: export(Path(args.asr_exp), args.model_file, Path(args.output)))


def export(experiment: Path, model_file: str, output: Path) -> None:
    """Write the stock experiment into `output`."""
    # resolve: `valid.acc.ave.pth` is a link
    weights, config_file = (experiment / model_file).resolve(), experiment / "config.yaml"
    for needed in (weights, config_file):
        if not needed.is_file():
            raise UserError(f"{needed} does not exist: train first, or check --model_file")
    config = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    if config.get("model") not in STOCK_NAME:
        raise UserError(
            f"{config_file} has model: {config.get('model')}, expected one of "
            f"{', '.join(STOCK_NAME)}: other models need no export, or have no stock twin"
        )
    config = stock_config(config)
    output.mkdir(parents=True, exist_ok=True)
    _bring_along(config, "bpemodel", output)
    if config.get("normalize_conf"):
        _bring_along(config["normalize_conf"], "stats_file", output)
    config["output_dir"] = str(output)
    copy_for_stock(weights, output / "model.pth", config, without=TRAINING_ONLY)
    with writing(output / "config.yaml") as stream:
        yaml.safe_dump(config, stream, sort_keys=False, allow_unicode=True)
    logging.info(
        "stock experiment in %s; use: python -m %s.asr_inference "
        "--asr_train_config %s/config.yaml --asr_model_file %s/model.pth ...",
        *(
            output,
            "espnet_otreg.stages" if config.get("postencoder") in OWN_PARTS else "espnet2.bin",
        ),
        *[output] * 2,
    )


def _bring_along(options: dict[str, Any], key: str, output: Path) -> None:
    """Copy the file an option names, and point the option at the copy."""
    if not options.get(key):
        return
    source = Path(options[key])
    if not source.is_file():
        raise UserError(f"{key} in the config is {source}, which does not exist from this folder")
    copy = output.resolve() / source.name
    shutil.copyfile(source, copy)
    options[key] = str(copy)


if __name__ == "__main__":
    main()
