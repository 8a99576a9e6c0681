"""Base models of a speech language model in a pack: named with their hash, or copied along.

A checkpoint holds what was trained, and the hashes of what was frozen beneath it. A pack does the
same: small base models may be put into it, others are found by name when it is opened.
"""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.hub.allowed import BASE_PARTS, is_hub_name
from espnet_otreg.hub.base_folders import check_experiment, check_pretrained, is_read
from espnet_otreg.hub.facts import BaseModel
from espnet_otreg.hub.located import inside
from espnet_otreg.packages.table import PARTS
from espnet_otreg.pretrained.bases import CHECKPOINT


def find_bases(config: Mapping[str, Any], weights: Mapping[str, Any]) -> tuple[BaseModel, ...]:
    """List the base models, with the hashes that the checkpoint was trained on."""
    from espnet_otreg.pretrained.bases import HASHES

    rows = list(base_options(config).items())
    if config.get("model") != "slm":  # of other models a frontend alone
        rows = [row for row in rows if row[0] == "frontend"]
    if not rows:
        return ()
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
        from espnet_otreg.pretrained.espnet_speech import experiment_base

        checkpoint = conf.get("checkpoint", CHECKPOINT)
        now = experiment_base(conf["experiment"], checkpoint).sha256
        sources = [Path(conf["experiment"]) / name for name in ("config.yaml", checkpoint)]
        _refuse_statistics(sources[0])
    else:
        from espnet_otreg.pretrained.masked_lm import resolve

        source = resolve(conf["model"])
        now = _hash(base, conf)
        files = sorted(path for path in source.iterdir() if path.is_file())
        sources = [path for path in files if is_read(path.name, conf)]
        left = [path.name for path in files if path not in sources]
        if left:
            logging.info("not packed, as opening %s reads none of them: %s", source, left)
    if now != base.sha256:
        raise UserError(
            f"the base model {conf[base.option]} (SHA-256 {now[:12]}…) is not the one that the "
            f"checkpoint was trained on ({base.sha256[:12]}…): it was changed since"
        )
    for path in sources:
        shutil.copyfile(path, target / path.name)  # what a link points to, not the link
    return replace(base, folder=str(target.relative_to(folder)))


def point_to(
    bases: tuple[BaseModel, ...],
    config: dict[str, Any],
    folder: Path,
    given: Mapping[str, str],
    trusted: bool = False,
) -> None:
    """Let an unpacked configuration name its base models: those given, packed, or on the hub.

    Only the one option of a part that names its base model is set, and what lies in the pack is
    looked through.
    """
    unknown = sorted(set(given) - {given_as(base) for base in bases})
    if unknown:
        raise UserError(f"{folder} has no base model as its {unknown[0]}: leave that argument out")
    wanted = base_options(config)
    if {base.part: base.option for base in bases} != wanted or len(bases) != len(wanted):
        told = [f"{base.part}_conf.{base.option}" for base in bases]
        raise UserError(
            f"{folder}: config.yaml asks for {sorted(wanted)} as base models and otreg.json names "
            f"{told}: pack it again"
        )
    for base in bases:
        conf = config.get(f"{base.part}_conf")
        if not isinstance(conf, dict):
            raise UserError(f"{folder}: {base.part}_conf of config.yaml must be a mapping")
        conf[base.option] = _find(base, conf, folder, given.get(given_as(base)), trusted)


def base_options(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts of a configuration that stand on a base model, and what names it."""
    found = {}
    for part, options in BASE_PARTS.items():
        name = config.get(part)
        if isinstance(name, str) and name in options:
            found[part] = options[name]
    return found


def _find(
    base: BaseModel, conf: Mapping[str, Any], folder: Path, given: str | None, trusted: bool
) -> str:
    """Return what a base model is called here, after a look at it."""
    packed = given is None and base.folder is not None
    if given is not None:
        name = given
    elif base.folder is not None:
        name = str(inside(folder, base.folder, f"base model of {base.part}"))
        if not Path(name).is_dir():
            raise UserError(f"{folder}: {base.folder} should be a folder, with a base model")
    elif base.local or base.option == "experiment":
        raise UserError(
            f"the model was trained on a {base.part} of its own, {base.name} (SHA-256 "
            f"{base.sha256[:12]}…), which is not in the pack: give its folder, "
            f'from_pretrained(..., {given_as(base)}="folder"){how_to_get(base)}, or pack with '
            "--include_base"
        )
    elif not is_hub_name(base.name):
        raise UserError(
            f"{folder} names its {base.part} {base.name}, which is no hub name, or a folder here "
            f'has it: say which one by from_pretrained(..., {given_as(base)}="folder or name")'
        )
    else:
        name = base.name
    if base.option == "experiment":
        checkpoint = conf.get("checkpoint", CHECKPOINT)
        check_experiment(Path(name), checkpoint, packed=packed, trusted=trusted)
    elif packed:
        check_pretrained(Path(name), trusted)
    return name


def given_as(base: BaseModel) -> str:
    """Name the argument that says where a base model is: a pretrained frontend is an encoder."""
    return "encoder" if base.part == "frontend" else base.part


def how_to_get(base: BaseModel) -> str:
    """Name the command that makes a base model's folder, where there is one."""
    return f", which `espnet-otreg fetch {base.name}` makes" if base.name in PARTS else ""


def _hash(base: BaseModel, conf: Mapping[str, Any]) -> str:
    if base.part == "decoder":
        from espnet_otreg.pretrained.lm_features import fingerprint

        return fingerprint(conf["model"]).model
    from espnet_otreg.pretrained.hf_checkpoint import speech_base

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
