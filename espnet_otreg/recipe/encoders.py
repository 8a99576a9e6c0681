"""The encoder that a speech language model's YAML names, in words for the steps that use it."""

import json
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.yaml_files import read_yaml

OWN = "espnet_speech"  # an encoder of an experiment of ESPnet's


def encoder_option(config: Path) -> str:
    """Name the option of `encoder_conf` that says where the encoder comes from."""
    return "experiment" if read_yaml(config).get("encoder") == OWN else "model"


def frames_words(config: Path, encoder: str) -> list[str]:
    """Say whose frames are cached: of the YAML nothing else, so that they outlive its changes."""
    options = read_yaml(config)
    if options.get("encoder") is None:
        raise UserError(f"{config} has no encoder: name the YAML that the model is trained with")
    conf = dict(options.get("encoder_conf") or {})
    conf.pop(encoder_option(config), None)
    words = ["--type", str(options.get("encoder")), "--conf", json.dumps(conf, sort_keys=True)]
    return [*words, "--encoder", f"^{encoder}"]
