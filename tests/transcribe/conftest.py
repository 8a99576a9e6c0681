"""A tiny model of each kind, and recordings, for every test here."""

import numpy as np
import pytest
import soundfile

from espnet_otreg.mini.masked_lm import train_tokenizer
from tests.support.tiny_llm import SENTENCES
from tests.support.tiny_lm import save_bert
from tests.support.tiny_packs import (
    make_pack,
    save_clip,
    save_listener,
    save_recogniser,
    save_taught,
)


@pytest.fixture(scope="session")
def homes(tmp_path_factory):
    """Trainings' folders by kind; `stock` is ESPnet's own model."""
    root = tmp_path_factory.mktemp("homes")
    lm = save_bert(root / "lm", train_tokenizer(list(SENTENCES), 90), width=8)
    return {
        "otreg": save_recogniser(root / "otreg"),
        "ot_transfer": save_taught(root / "taught", lm),
        "slm": save_listener(root / "slm"),
        "lm": lm,
    }


@pytest.fixture(scope="session")
def packs(homes, tmp_path_factory):
    """Packs of the same."""
    root = tmp_path_factory.mktemp("packs")
    options = {
        "otreg": ("--languages", "en", "es"),
        "ot_transfer": ("--lm", str(homes["lm"])),
        "slm": ("--include_base",),
    }
    return {
        kind: make_pack(homes[kind], root / f"{kind}.zip", "--mini", "true", *more)
        for kind, more in options.items()
    }


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """Recordings of several rates and kinds, one of them broken, beside a file that is none."""
    made = tmp_path / "heard"
    (made / "deep" / "er").mkdir(parents=True)
    for seed, name in enumerate(("a.wav", "b.wav", "deep/c.wav")):
        save_clip(made / name, seed)
    tone = 0.3 * np.sin(np.arange(8000) / 8) * np.repeat([1, 0.1], 4000)
    soundfile.write(made / "deep/er/d.flac", np.stack([tone, tone], 1), 8000)
    (made / "deep" / "broken.mp3").write_bytes(b"no music")
    (made / "notes.txt").write_text("none")
    return made
