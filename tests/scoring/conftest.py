"""Small scored experiments, made as the recipe makes them."""

import json

import pytest

from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.wer import score

TAG = "decode_x"
LANGUAGES = {"covost2_test": ["en", "es"], "fleurs_test": ["en", "fr"]}


def hypothesis(reference, errors):
    """The reference with its first words wrong."""
    words = reference.split()
    return " ".join(["wrong"] * errors + words[errors:])


def _make(folder, wrong, *, speakers=6, normaliser="basic", run=None, words=10):
    """Six speakers per language, one utterance of ten words each.

    `wrong` maps a test set to the number of wrong words per utterance of each speaker.
    """
    for test_set, counts in wrong.items():
        references, hypotheses, utt2spk, utt2lang = {}, {}, {}, {}
        for language in LANGUAGES[test_set]:
            for speaker in range(speakers):
                name = f"{language}_s{speaker}_u"
                references[name] = " ".join(f"{language}{i}" for i in range(words))
                hypotheses[name] = hypothesis(references[name], counts[speaker % len(counts)])
                utt2spk[name], utt2lang[name] = f"{language}_s{speaker}", language
        scored = score(
            references, hypotheses, normaliser=normaliser, speakers=utt2spk, languages=utt2lang
        )
        save_score(folder / TAG / test_set / "score.json", scored, normaliser, {})
    if run is not None:
        (folder / "run.json").write_text(json.dumps(run))
    return str(folder)


@pytest.fixture
def make_experiment():
    return _make


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    """A baseline, and two seeds of a system: worse in domain by a hair, better across."""
    monkeypatch.chdir(tmp_path)
    run = {"command": "./run.sh --seed 1", "wall_time_s": 3725.4, "device": "cpu", "seed": 1}
    _make(tmp_path / "exp/base", {"covost2_test": [1, 2], "fleurs_test": [4, 5]}, run=run)
    _make(tmp_path / "exp/ot_1", {"covost2_test": [2, 1], "fleurs_test": [3, 4]})
    _make(tmp_path / "exp/ot_2", {"covost2_test": [2, 2], "fleurs_test": [2, 3]})
    return ["exp/base", "exp/ot_1,exp/ot_2"]
