"""Valid packs with changed configurations: opening one opens and imports nothing from elsewhere.

OTREG_FUZZ_EXAMPLES=10000 tries as many, each time others.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import espnet2
import pytest
import torch
import yaml
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import espnet_otreg
from espnet_otreg.decode.speech2text import Speech2Text
from espnet_otreg.errors import UserError
from espnet_otreg.tasks.asr import asr_task
from tests.support.hostile_packs import explosive
from tests.support.watching import Guarded, watched

EXAMPLES = int(os.environ.get("OTREG_FUZZ_EXAMPLES", "0"))
FILES = {
    "beam": ("config.yaml", "decode.yaml", "meta.yaml", "otreg.json"),
    "stock": ("config.yaml", "meta.yaml", "lm.yaml"),
    "taught": (
        *("config.yaml", "otreg.json", "lm_tokenizer/config.json"),
        "lm_tokenizer/tokenizer_config.json",
    ),
    "slm": (
        *("config.yaml", "otreg.json", "base/encoder/config.yaml", "base/decoder/config.json"),
        *("base/decoder/tokenizer_config.json", "base/decoder/generation_config.json"),
    ),
}
CHOICES = sorted(
    {name for each in asr_task.ASRTask.class_choices_list for name in each.classes}
)  # of every part
KEYS = (
    *("trust_remote_code", "auto_map", "checkpoint", "experiment", "model", "lm_file", "lm_conf"),
    *("lm_train_config", "ngram_file", "stats_file", "bpemodel", "token_list", "init_param"),
    *("adapter", "use_adapter", "adapter_conf", "attn_implementation", "_attn_implementation"),
    *("lora_conf", "megatron_core", "frontends", "dtype", "tokenizer_class", "_name_or_path"),
    *("transformers_weights", "weight_map", "quantization_config", "custom_generate", "g2p"),
    *("cleaner", "preprocessor", "config", "pretrained", "vocab_file", "tokenizer_file", "folder"),
    *("name", "part", "option", "frontend", "frontend_conf", "encoder", "encoder_conf", "decoder"),
    *("decoder_conf", "postencoder", "normalize", "normalize_conf", "token_type", "model_type"),
    *("ctc_conf", "ctc_type", "architectures", "non_linguistic_symbols", "asr_model_file"),
)
SECRETS = (
    "tokens.txt",
    "stats.npz",
    "model.pth",
    "model.safetensors",
    "config.yaml",
    "config.json",
)
VALUES = st.one_of(
    st.sampled_from([True, False, None, 0, 1, 2, -1, 0.5, "", "x", "evil_plugin", "org/evil"]),
    st.sampled_from(["evil_plugin.Model", "os.system", "x.bin", "PACK/x.bin", "PACK", ".", ".."]),
    st.sampled_from([f"{way}/{name}" for way in ("SECRET", "../secret") for name in SECRETS]),
    st.sampled_from(["SECRET", "../secret", "PACK/base/decoder", "PACK/base/encoder"]),
    st.sampled_from(CHOICES),
)
DEEP = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=5,
)
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 9),  # which file
        st.lists(st.integers(0, 200), max_size=4),  # which way down
        st.sampled_from(["set", "set", "add", "add", "remove", "wrap"]),
        st.sampled_from(KEYS),
        DEEP,
    ),
    min_size=1,
    max_size=4,
)


class Field(NamedTuple):
    """Where packs are opened."""

    root: Path
    packages: set[str]  # that valid packs import, or try to


@pytest.fixture(scope="module")
def field(packs, tmp_path_factory):
    """Copies of the packs beside files that are none of their business."""
    root = tmp_path_factory.mktemp("field")
    mark, secret = root / "mark", root / "secret"
    secret.mkdir()
    for kind, folder in packs.items():
        shutil.copytree(folder, root / kind)
        explosive(root / kind / "x.bin", mark)
    _add_language_model(root / "stock", mark)
    shutil.copytree(root / "slm" / "base" / "decoder", secret, dirs_exist_ok=True)
    shutil.copy(root / "beam" / "config.yaml", secret)
    shutil.copy(root / "beam" / "stats.npz", secret)
    explosive(secret / "model.pth", mark)
    (secret / "tokens.txt").write_text("a\nb\n")
    (root / "evil_plugin.py").write_text(f"open({str(mark)!r}, 'w')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        patch.chdir(root)
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setattr("builtins.input", lambda prompt="": pytest.fail(f"asked: {prompt}"))
        with watched() as seen:
            for kind in FILES:
                Speech2Text.from_pretrained(root / kind)
        tried = {what for kind, what in seen if kind == "import"}  # in vain, as flash_attn
        yield Field(root, tried | {name.split(".")[0] for name in sys.modules})


def _add_language_model(pack, mark):
    """Let a stock pack have a language model for the beam search."""
    from espnet2.tasks.lm import LMTask

    config = yaml.safe_load((pack / "config.yaml").read_text())
    options = {"token_list": config["token_list"], "lm": "seq_rnn", "init": None, "model": "lm"}
    options |= {"lm_conf": {"unit": 4, "nlayers": 1}, "model_conf": {}}
    (pack / "lm.yaml").write_text(yaml.safe_dump(options))
    torch.save(LMTask.build_model(argparse.Namespace(**options)).state_dict(), pack / "lm.pth")
    meta = yaml.safe_load((pack / "meta.yaml").read_text())
    meta["files"]["lm_file"], meta["yaml_files"]["lm_train_config"] = "lm.pth", "lm.yaml"
    (pack / "meta.yaml").write_text(yaml.safe_dump(meta))


def placed(value, pack, secret):
    """Put the paths of this machine into a value."""
    if isinstance(value, str):
        return value.replace("PACK", str(pack)).replace("SECRET", str(secret))
    if isinstance(value, list):
        return [placed(each, pack, secret) for each in value]
    if isinstance(value, dict):
        return {key: placed(each, pack, secret) for key, each in value.items()}
    return value


def change(content, way, action, key, value):
    """Change one place of a tree of options."""
    at = content
    for step in way:
        inner = [v for v in (at.values() if isinstance(at, dict) else at) if v]
        inner = [v for v in inner if isinstance(v, dict | list)]
        if not inner:
            break
        at = inner[step % len(inner)]
    keys = sorted(at) if isinstance(at, dict) else range(len(at))
    if action == "add" and isinstance(at, dict):
        at[key] = value
    elif action == "add":
        at.append(value)
    elif keys:
        place = keys[(way[-1] if way else 0) % len(keys)]
        if action == "remove":
            del at[place]
        else:
            at[place] = [at[place], {key: value}] if action == "wrap" else value


def mutate(pack, secret, files, changes):
    """Change files of a pack; return their content of before."""
    before = {}
    for number, way, action, key, value in changes:
        path = pack / files[number % len(files)]
        text = path.read_text()
        before.setdefault(path, text)
        is_json = path.suffix == ".json"
        content = (json.loads(text) if is_json else yaml.safe_load(text)) or {}
        change(content, way, action, key, placed(value, pack, secret))
        path.write_text(json.dumps(content) if is_json else yaml.safe_dump(content))
    return before


def opening(pack):
    """Open a pack, and tell whether it was refused."""
    try:
        Speech2Text.from_pretrained(pack)
    except UserError:
        return "refused"
    return "opened"


def homely(path, pack):
    """Tell whether a file is the pack's, a temporary copy, or of the installed packages."""
    package = Path(espnet_otreg.__file__).parents[1]
    installed = (sys.prefix, sys.base_prefix, package, Path(espnet2.__file__).parents[1], "/proc")
    temporary = Path(tempfile.gettempdir())
    if path.is_relative_to(pack) or any(path.is_relative_to(place) for place in installed):
        return True
    if not path.is_relative_to(temporary):
        return False
    return path.relative_to(temporary).parts[0].startswith("espnet_otreg-")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="watches by inotify")
@settings(
    max_examples=EXAMPLES or 200,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # an example that fails is short enough
    suppress_health_check=list(HealthCheck),
)
@given(kind=st.sampled_from(sorted(FILES)), changes=CHANGES)
def test_a_changed_configuration_opens_and_imports_nothing_from_elsewhere(field, kind, changes):
    pack, secret = field.root / kind, field.root / "secret"
    known = field.packages | sys.stdlib_module_names
    before = mutate(pack, secret, FILES[kind], changes)
    guarded = Guarded(secret)
    try:
        with watched() as seen:
            told = opening(pack)
        assert guarded.opened() == []
    finally:
        guarded.close()
        for path, text in before.items():
            path.write_text(text)
    event(told)  # for --hypothesis-show-statistics
    elsewhere = [
        (kind, what)
        for kind, what in seen
        if (kind == "open" and not homely(Path(what), pack))
        or (kind == "import" and what not in known)
        or kind not in ("open", "import")
    ]
    assert elsewhere == []
    assert not (field.root / "mark").exists()


def test_the_watch_sees_what_it_should(field):
    guarded = Guarded(field.root / "secret")
    with watched() as seen:
        torch.load(field.root / "secret" / "model.pth", weights_only=False)
        os.system("true")
    (field.root / "mark").unlink()
    assert "model.pth" in guarded.opened()
    assert ("open", str(field.root / "mark")) in seen
    assert {"pickle.find_class", "os.system"} <= {event for event, _ in seen}
    load_file(field.root / "secret" / "model.safetensors")  # which Linux alone sees
    assert guarded.opened() == ["model.safetensors"]
    guarded.close()
