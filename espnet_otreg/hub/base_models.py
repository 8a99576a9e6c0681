"""Base models of a speech language model in a pack: named with their hash, or copied along.

A checkpoint holds what was trained, and the hashes of what was frozen beneath it. A pack does the
same: small base models may be put into it, others are found by name when it is opened.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.hub.facts import BaseModel
from espnet_otreg.hub.located import inside

OPTIONS = {  # part -> its class in YAML -> the option that names the base model
    "encoder": {"hf_speech": "model", "espnet_speech": "experiment"},
    "decoder": {"causal_lm": "model"},
}


def find_bases(config: Mapping[str, Any], weights: Mapping[str, Any]) -> tuple[BaseModel, ...]:
    """List the base models, with the hashes that the checkpoint was trained on."""
    if config.get("model") != "slm":
        return ()
    from espnet_otreg.models.base_weights import HASHES

    rows = [
        (part, options[config[part]])
        for part, options in OPTIONS.items()
        if config.get(part) in options
    ]
    hashes = weights.get(HASHES)
    if hashes is None or len(hashes) != len(rows):
        raise UserError(
            "the checkpoint does not say which base models it was trained on: it is no checkpoint "
            "of this config.yaml"
        )
    found = []
    for (part, option), row in zip(rows, hashes.tolist(), strict=True):
        name = config[f"{part}_conf"][option]
        local = Path(name).is_dir()
        known_as = Path(name).resolve().name if local else name
        digest = bytes(int(value) & 255 for value in row).hex()
        found.append(BaseModel(part, option, known_as, digest, local, None))
    return tuple(found)


def include(base: BaseModel, config: Mapping[str, Any], folder: Path) -> BaseModel:
    """Copy a base model into the pack's folder; one that has changed since training is refused."""
    conf = config[f"{base.part}_conf"]
    target = folder / "base" / base.part
    target.mkdir(parents=True)
    if base.option == "experiment":
        from espnet_otreg.models.espnet_speech import CHECKPOINT, experiment_base

        checkpoint = conf.get("checkpoint", CHECKPOINT)
        now = experiment_base(conf["experiment"], checkpoint).sha256
        sources = [Path(conf["experiment"]) / name for name in ("config.yaml", checkpoint)]
        _refuse_statistics(sources[0])
    else:
        from espnet_otreg.models.language_model import resolve

        source = resolve(conf["model"])
        now = _hash(base, conf)
        sources = sorted(path for path in source.iterdir() if path.is_file())
    if now != base.sha256:
        raise UserError(
            f"the base model {conf[base.option]} (SHA-256 {now[:12]}…) is not the one that the "
            f"checkpoint was trained on ({base.sha256[:12]}…): it was changed since"
        )
    for path in sources:
        shutil.copyfile(path, target / path.name)  # what a link points to, not the link
    return replace(base, folder=str(target.relative_to(folder)))


def point_to(
    bases: tuple[BaseModel, ...], config: dict[str, Any], folder: Path, given: Mapping[str, str]
) -> None:
    """Let an unpacked configuration name its base models: those given, packed, or on the hub."""
    unknown = sorted(set(given) - {base.part for base in bases})
    if unknown:
        raise UserError(f"{folder} has no base model as its {unknown[0]}: leave that argument out")
    for base in bases:
        name = given.get(base.part, base.name)
        if base.part not in given and base.folder is not None:
            name = str(inside(folder, base.folder, f"base model of {base.part}"))
        elif base.part not in given and base.local:
            raise UserError(
                f"the model was trained on a {base.part} of its own, {base.name} (SHA-256 "
                f"{base.sha256[:12]}…), which is not in the pack: give its folder, "
                f'from_pretrained(..., {base.part}="folder"), or pack with --include_base'
            )
        config[f"{base.part}_conf"][base.option] = name


def _hash(base: BaseModel, conf: Mapping[str, Any]) -> str:
    if base.part == "decoder":
        from espnet_otreg.models.lm_cache import fingerprint

        return fingerprint(conf["model"]).model
    from espnet_otreg.models.hf_checkpoint import speech_base

    return speech_base(conf["model"], conf.get("trust_remote_code", False)).sha256


def _refuse_statistics(config: Path) -> None:
    import yaml

    options = yaml.safe_load(config.read_text(encoding="utf-8"))
    if (options.get("normalize_conf") or {}).get("stats_file"):
        raise UserError(
            f"{config} needs a file of statistics (normalize: global_mvn), so its encoder cannot "
            "be put into a pack: leave --include_base out and give the encoder's folder when the "
            "pack is opened"
        )
