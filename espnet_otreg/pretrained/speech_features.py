"""Which speech encoder it was: what cached frames depend on, and the check that none is stale."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.configuration import read_options
from espnet_otreg.errors import UserError
from espnet_otreg.pretrained.bases import Base
from espnet_otreg.pretrained.espnet_speech import (
    ESPnetSpeechConf,
    ESPnetSpeechEncoder,
    experiment_base,
)
from espnet_otreg.pretrained.feature_cache import read_note
from espnet_otreg.pretrained.hf_speech import HFSpeechConf, HFSpeechEncoder, speech_base

COMMAND = "espnet_otreg.stages.speech_features"
ENCODERS: dict[str, type] = {"hf_speech": HFSpeechEncoder, "espnet_speech": ESPnetSpeechEncoder}
_CONFS: dict[str, type] = {"hf_speech": HFSpeechConf, "espnet_speech": ESPnetSpeechConf}
NAMES = {"hf_speech": "model", "espnet_speech": "experiment"}  # of the option that says which one
# Neither is part of the frames: what is hashed already, and how they are computed
_ELSEWHERE = {"layer", "checkpoint", "trust_remote_code", "attn_implementation"}


class Source(NamedTuple):
    """What frames were made by."""

    base: Base
    layer: int | None
    options: dict[str, Any]  # further ones that change the frames, defaults included


def source_of(encoder: str, conf: Mapping[str, Any]) -> Source:
    """Describe an encoder by its name in YAML and its options, without loading it."""
    if encoder not in ENCODERS:
        raise UserError(
            f"frames are cached of encoder: {' or '.join(ENCODERS)}, which come trained, and the "
            f"configuration has encoder: {encoder}"
        )
    given: Any = read_options(_CONFS[encoder], dict(conf), f"options of {encoder}")
    options = asdict(given)
    name = options.pop(NAMES[encoder])
    if encoder == "hf_speech":
        base = speech_base(name, options["trust_remote_code"])
    else:
        base = experiment_base(name, options["checkpoint"])
    layer = options["layer"]
    further = {key: value for key, value in options.items() if key not in _ELSEWHERE}
    return Source(base, layer, further)


def check_speech_features(
    features: str | Path,
    base: Base,
    layer: int | None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Raise a UserError if cached frames come from another encoder.

    `features` is the folder or its feats.scp; `options`, if given, those of `Source`.
    """
    folder, content = read_note(features, COMMAND)
    expected: dict[str, Any] = {"sha256": base.sha256, "layer": layer}
    if options is not None:
        expected["options"] = dict(options)
    for name, value in expected.items():
        if name not in content:
            raise UserError(f"{folder} was not made by {COMMAND}: its features.json has no {name}")
        if content[name] != value:
            raise UserError(
                f"{folder} holds frames of another encoder than {base.name}: {name} was "
                f"{content[name]} (of {content.get('base')}) and is {value}; remove the folder "
                f"and run {COMMAND} again"
            )
