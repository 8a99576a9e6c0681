"""Valid packs of every kind, made once, and a place in which to attack copies of them."""

import numpy as np
import pytest
import yaml
from espnet2.main_funcs.pack_funcs import pack as espnet_pack

from espnet_otreg.hub.archive import unpack_into
from espnet_otreg.mini.masked_lm import train_tokenizer
from espnet_otreg.stages import export_stock
from tests.support.hostile_packs import Scene, edit
from tests.support.tiny_llm import SENTENCES
from tests.support.tiny_lm import save_bert
from tests.support.tiny_packs import MODEL, make_pack, save_listener, save_recogniser, save_taught


@pytest.fixture(scope="session")
def homes(tmp_path_factory):
    """Trained models of each kind, and what they are made of."""
    root = tmp_path_factory.mktemp("homes")
    lm = save_bert(root / "lm", train_tokenizer(list(SENTENCES), 90), width=8)
    homes = {"beam": save_recogniser(root / "beam"), "slm": save_listener(root / "slm")}
    return {**homes, "taught": save_taught(root / "taught", lm), "lm": lm}


@pytest.fixture(scope="session")
def packs(homes, tmp_path_factory):
    """An unpacked valid pack of each kind."""
    root = tmp_path_factory.mktemp("packs")
    options = {"beam": (), "slm": ("--include_base",), "taught": ("--lm", str(homes["lm"]))}
    found = {}
    for kind, more in options.items():
        archive = make_pack(homes[kind], root / f"{kind}.zip", "--mini", "true", *more)
        unpack_into(archive, root / kind)
        found[kind] = root / kind
    edit(found["beam"] / "decode.yaml", beam_size=1)
    return {**found, "stock": stock_pack(homes["beam"], root)}


def stock_pack(experiment, root):
    """What ESPnet's own command makes of a stock model: no otreg.json."""
    folder = root / "exported"
    export_stock.export(experiment, MODEL, folder)
    for key in ("bpemodel", "normalize_conf__stats_file"):
        options = yaml.safe_load((folder / "config.yaml").read_text())
        for name in key.split("__"):
            options = options[name]
        edit(folder / "config.yaml", **{key: options.rsplit("/", 1)[1]})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        espnet_pack(
            {"asr_model_file": "model.pth"}, {"asr_train_config": "config.yaml"},
            root / "stock.zip", ["bpe.model", "stats.npz"],
        )  # fmt: skip
    unpack_into(root / "stock.zip", root / "stock")
    return root / "stock"


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """Another machine, on which nobody answers questions."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "tokens.txt").write_text("a\nb\n")
    np.savez(secret / "stats.npz", count=9, sum=np.ones(80), sum_square=np.ones(80))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def asked(prompt=""):
        raise AssertionError(f"asked on standard input: {prompt}")

    monkeypatch.setattr("builtins.input", asked)
    return Scene(tmp_path / "pack", tmp_path / "mark", secret)
