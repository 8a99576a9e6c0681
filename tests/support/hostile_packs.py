"""Packs that try to run code, or to read what is not theirs, when they are opened.

Each attack changes an unpacked valid pack. Code that runs leaves the file `mark`; `secret` is a
folder outside the pack with files that would be read if a name could lead there.
"""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml


class Scene(NamedTuple):
    """Where an attack takes place."""

    pack: Path  # an unpacked valid pack, a copy of its own
    mark: Path  # there if code ran
    secret: Path  # a folder outside


class Attack(NamedTuple):
    """A change of a valid pack, and what the refusal says."""

    kind: str  # of the valid pack: beam, stock or slm
    change: Callable[[Scene], Any]
    told: str


class Bomb:
    """An object whose pickle, when read, makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.mark), "w")


ATTACKS: dict[str, Attack] = {}


def attack(kind: str, told: str) -> Callable[[Callable[[Scene], Any]], Callable[[Scene], Any]]:
    """List an attack by the name of its function."""

    def listed(change: Callable[[Scene], Any]) -> Callable[[Scene], Any]:
        ATTACKS[change.__name__] = Attack(kind, change, told)
        return change

    return listed


def edit(path: Path, **changes: Any) -> dict[str, Any]:
    """Change options of a YAML or JSON file; `a__b` is option b of a."""
    read, write = (json.loads, json.dumps) if path.suffix == ".json" else (_yaml, yaml.safe_dump)
    content = read(path.read_text()) or {}
    for name, value in changes.items():
        *above, last = name.split("__")
        options = content
        for key in above:
            if not isinstance(options.get(key), dict):
                options[key] = {}
            options = options[key]
        options[last] = value
    path.write_text(write(content))
    return content


def _yaml(text: str) -> Any:
    return yaml.safe_load(text)


def explosive(path: Path, mark: Path) -> None:
    """Write a checkpoint whose reading runs code."""
    torch.save({"weights": Bomb(mark)}, path)


def evil_code(folder: Path, mark: Path, **changes: Any) -> None:
    """Let a folder of transformers bring Python code."""
    (folder / "code.py").write_text(f"open({str(mark)!r}, 'w')\nclass Config: pass\n")
    auto = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Config"}
    edit(folder / "config.json", model_type="evil", auto_map=auto, **changes)


def weights_of(pack: Path) -> Path:
    """Return the file of a pack's weights."""
    return next(
        pack / name for name in ("model.safetensors", "model.pth") if (pack / name).exists()
    )


def torch_pack(pack: Path) -> Path:
    """Let a pack name a checkpoint of torch as its weights; return where it lies."""
    name = weights_of(pack).name
    for listing in ("meta.yaml", "otreg.json"):
        if (pack / listing).exists():
            text = (pack / listing).read_text()
            (pack / listing).write_text(text.replace(name, "model.pth"))
    weights_of(pack).unlink()
    return pack / "model.pth"


@attack("beam", "no checkpoint of plain tensors")
def weights_that_run(scene: Scene) -> None:
    explosive(torch_pack(scene.pack), scene.mark)


@attack("beam", "lm_file is no option that a pack may set|lm_train_config is no option")
def a_language_model_given_by_decoding_options(scene: Scene) -> None:
    explosive(scene.pack / "lm.bin", scene.mark)
    options = {"token_list": ["a"], "lm": "seq_rnn", "lm_conf": {}, "model": "lm"}
    config = {**options, "model_conf": {}, "init": None}
    (scene.pack / "lm.yaml").write_text(yaml.safe_dump(config))
    files = {"lm_file": scene.pack / "lm.bin", "lm_train_config": scene.pack / "lm.yaml"}
    edit(scene.pack / "decode.yaml", **{key: str(path) for key, path in files.items()})


@attack("beam", "a link that leads outside")
def a_link_as_weights(scene: Scene) -> None:
    path = weights_of(scene.pack)
    shutil.move(path, scene.secret / path.name)
    path.symlink_to(scene.secret / path.name)


@attack("beam", "neither file nor folder")
def a_pipe_that_nobody_writes_to(scene: Scene) -> None:
    (scene.pack / "bpe.model").unlink()
    os.mkfifo(scene.pack / "bpe.model")


@attack("beam", "outside the pack")
def a_list_of_tokens_outside(scene: Scene) -> None:
    edit(scene.pack / "config.yaml", token_list=str(scene.secret / "tokens.txt"))


@attack("beam", "no plain arrays")
def statistics_that_run(scene: Scene) -> None:
    bomb = np.array([Bomb(scene.mark)], dtype=object)
    with open(scene.pack / "stats.npz", "wb") as stream:
        np.savez(stream, count=bomb, sum=bomb, sum_square=bomb)


@attack("beam", "no plain arrays")
def statistics_that_are_a_pickle(scene: Scene) -> None:
    (scene.pack / "stats.npz").write_bytes(pickle.dumps(Bomb(scene.mark)))


@attack("beam", "not valid YAML")
def python_in_yaml(scene: Scene) -> None:
    tag = f"!!python/object/apply:builtins.open [{str(scene.mark)!r}, 'w']"
    with open(scene.pack / "config.yaml", "a") as stream:
        stream.write(f"evil: {tag}\n")


@attack("beam", "not valid YAML")
def python_in_decoding_options(scene: Scene) -> None:
    tag = f"!!python/object/apply:builtins.open [{str(scene.mark)!r}, 'w']"
    (scene.pack / "decode.yaml").write_text(f"beam_size: {tag}\n")


@attack("beam", "ngram_file is no option that a pack may set")
def a_file_of_ngrams_in_decoding_options(scene: Scene) -> None:
    edit(scene.pack / "decode.yaml", ngram_file=str(scene.secret / "tokens.txt"))


@attack("beam", "hugging_face_decoder_conf is no option")
def options_of_transformers_in_decoding_options(scene: Scene) -> None:
    conf = {"trust": {"custom_generate": "org/evil"}}
    edit(scene.pack / "decode.yaml", hugging_face_decoder_conf=conf)


@attack("beam", "dtype must be one of")
def a_name_of_torch_in_decoding_options(scene: Scene) -> None:
    edit(scene.pack / "decode.yaml", dtype="load")


def _part(name: str, kind: str, part: str, choice: Any, **conf: Any) -> None:
    def change(scene: Scene) -> None:
        explosive(scene.pack / "x.pt", scene.mark)
        file = str(scene.pack / "x.pt")
        options = {key: file if value == "x.pt" else value for key, value in conf.items()}
        edit(scene.pack / "config.yaml", **{part: choice, f"{part}_conf": options})

    ATTACKS[name] = Attack(kind, change, f"{part} is .*, and a pack may ask for")


_part("a_frontend_of_s3prl", "stock", "frontend", "s3prl", frontend_conf={"upstream": "x"})
_part("a_frontend_of_whisper", "beam", "frontend", "whisper", whisper_model="x.pt")
_part("a_frontend_of_the_hub", "beam", "frontend", "huggingface", model="org/evil")
_part("frontends_in_a_list", "beam", "frontend", "fused", frontends=[{"frontend_type": "s3prl"}])
_part("an_encoder_of_beats", "stock", "encoder", "beats", beats_ckpt_path="x.pt")
_part("an_encoder_of_whisper", "stock", "encoder", "whisper", whisper_model="x.pt")
_part("an_encoder_of_hubert", "beam", "encoder", "hubert", hubert_url="x.pt", hubert_dir_path=".")
_part("a_decoder_of_the_hub", "stock", "decoder", "hugging_face_transformers", model="org/evil")
_part("a_decoder_of_state_spaces", "beam", "decoder", "s4", model_conf={"_name_": "os.system"})
_part("adapters_of_espnet", "stock", "use_adapter", True)


@attack("stock", "token_type is 'hugging_face'")
def a_tokenizer_of_the_hub(scene: Scene) -> None:
    edit(scene.pack / "config.yaml", token_type="hugging_face", bpemodel="org/evil")


@attack("stock", "no checkpoint of plain tensors")
def a_stock_packs_language_model_that_runs(scene: Scene) -> None:
    _language_model(scene)


@attack("stock", "lm is 'transformer_opt'")
def a_stock_packs_language_model_of_the_hub(scene: Scene) -> None:
    _language_model(scene, lm="transformer_opt", lm_conf={"opt_name": "org/evil"})


@attack("stock", "outside the pack")
def a_stock_packs_language_model_with_tokens_outside(scene: Scene) -> None:
    _language_model(scene, token_list=str(scene.secret / "tokens.txt"))


def _language_model(scene: Scene, **changes: Any) -> None:
    explosive(scene.pack / "lm.bin", scene.mark)
    options = {"token_list": ["a", "b"], "lm": "seq_rnn", "lm_conf": {"unit": 4, "nlayers": 1}}
    config = {**options, "model": "lm", "model_conf": {}, "init": None, **changes}
    (scene.pack / "lm.yaml").write_text(yaml.safe_dump(config))
    meta = scene.pack / "meta.yaml"
    edit(meta, files__lm_file="lm.bin", yaml_files__lm_train_config="lm.yaml")


@attack("taught", r"auto_map\): read that code|Python code that comes with a model")
def code_in_the_tokenizers_folder(scene: Scene) -> None:
    evil_code(scene.pack / "lm_tokenizer", scene.mark)


@attack("beam", "")
def python_files_beside(scene: Scene) -> None:
    """Which opening must not care about."""
    for name in ("sitecustomize", "usercustomize", "conftest", "torch", "yaml", "model"):
        (scene.pack / f"{name}.py").write_text(f"open({str(scene.mark)!r}, 'w')\n")


@attack("beam", "")
def aliases_without_number(scene: Scene) -> None:
    """A billion laughs, which are a few bytes as long as nobody spells them out."""
    lines = ["a0: &a0 [x]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)
    ]
    with open(scene.pack / "config.yaml", "a") as stream:
        stream.write("\n".join([*lines, "model_conf_of_old: *a39", ""]))


@attack("beam", "a link that leads outside")
def a_link_as_list_of_base_models(scene: Scene) -> None:
    shutil.move(scene.pack / "otreg.json", scene.secret / "otreg.json")
    (scene.pack / "otreg.json").symlink_to(scene.secret / "otreg.json")


@attack("stock", r"trust_remote_code\): read that code")
def trust_given_to_a_language_model(scene: Scene) -> None:
    _language_model(scene, unused=[[{"trust_remote_code": 1}]])
