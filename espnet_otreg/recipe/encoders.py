"""The pretrained encoder that a YAML names, in words for the steps that use it."""

import json
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.hub.allowed import BASE_PARTS
from espnet_otreg.yaml_files import read_yaml


def model_words(config: Path, encoder: str) -> list[str]:
    """Say in ESPnet's words where the encoder comes from."""
    part, kind, _ = _part(config)
    return [f"--{part}_conf", f"{BASE_PARTS[part][kind]}=^{encoder}"]


def frames_words(config: Path, encoder: str) -> list[str]:
    """Say whose frames are cached: of the YAML nothing else, so that they outlive its changes."""
    part, kind, conf = _part(config)
    conf.pop(BASE_PARTS[part][kind], None)
    words = ["--type", kind, "--conf", json.dumps(conf, sort_keys=True)]
    return [*words, "--encoder", f"^{encoder}"]


def _part(config: Path) -> tuple[str, str, dict[str, Any]]:
    """Return `encoder` or `frontend`, which of ours it is, and a copy of its options."""
    options = read_yaml(config)
    for part in ("encoder", "frontend"):
        kind = options.get(part)
        if kind in BASE_PARTS[part]:
            return part, kind, dict(options.get(f"{part}_conf") or {})
    encoders = " or encoder: ".join(BASE_PARTS["encoder"])
    raise UserError(
        f"{config}: --speech_encoder stands for encoder: {encoders} or "
        f"frontend: hf_speech, and this has encoder: {options.get('encoder')}, frontend: "
        f"{options.get('frontend')}"
    )
