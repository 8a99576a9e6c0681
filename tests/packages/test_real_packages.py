"""The packages themselves, where they are: OTREG_PACKAGES names a folder that holds their files.

Skipped without. Names and hashes are the table's, so nothing is fetched.
"""

import os
from pathlib import Path

import pytest
import torch

from espnet_otreg.packages import PACKAGES, fetch
from espnet_otreg.packages.table import PARTS

GIVEN = os.environ.get("OTREG_PACKAGES")
MODELS = [name for name, part in PARTS.items() if part.kind != "corpus"]
CORPORA = [name for name, part in PARTS.items() if part.kind == "corpus"]


@pytest.fixture
def made(tmp_path):
    def of(name):
        files = [package.file for package in PARTS[name].packages]
        if not GIVEN or not all((Path(GIVEN) / file).is_file() for file in files):
            pytest.skip(f"OTREG_PACKAGES names no folder with {', '.join(files)}")
        (tmp_path / PACKAGES).symlink_to(Path(GIVEN).resolve())
        return fetch(name, tmp_path)

    return of


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_model_opens_and_is_frozen_in_our_recipes(made, name):
    from espnet_otreg.pretrained.causal_lm import CausalLM
    from espnet_otreg.pretrained.hf_speech import HFSpeechEncoder
    from espnet_otreg.pretrained.masked_lm import LanguageModel

    kind = PARTS[name].kind
    if kind == "whisper":
        encoder = HFSpeechEncoder(1, str(made(name))).eval()
        frames, lengths, _ = encoder(torch.zeros(1, 16000), torch.tensor([16000]))
        assert lengths.tolist() == [50] and frames.isfinite().all()
    elif kind == "causal_lm":
        width = {"smollm2-135m": 576, "gemma3-270m": 640}[name]
        decoder = CausalLM(0, width, model=str(made(name)))
        texts = (
            "the dog sleeps in the house and the cat waits at the door",
            "door the at waits cat the and house the in sleeps dog the",
        )
        said, backwards = (decoder.tokenizer(text, return_tensors="pt").input_ids for text in texts)
        loss = [float(decoder.network(ids, labels=ids).loss) for ids in (said, backwards)]
        assert loss[0] < 4.5 < loss[1]
    else:
        model = LanguageModel(made(name))
        texts = ["the dog sleeps in the house", "a dog is asleep at home", "taxes are due in May"]
        states = [
            state.mean(0) for state in model.features(list(map(model.tokenizer.split, texts)))
        ]
        near, far = (
            torch.cosine_similarity(torch.tensor(states[0]), torch.tensor(states[other]), 0)
            for other in (1, 2)
        )
        assert near > far


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_has_sounds_or_texts_and_its_licence(made, name):
    folder = made(name)
    sounds = [*folder.rglob("*.g722"), *folder.rglob("*.ogg")]
    assert len(sounds) > 400 or name == "fillets-text"
    assert list((folder / "usr/share/doc").rglob("copyright"))
