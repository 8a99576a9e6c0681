"""Scored experiments with recordings, as the recipe leaves them."""

import pytest

from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.wer import score
from tests.support import corpus_trees

TAG = "decode_x"
SETS = {"near_test": "en", "far_test": "es"}
EVIL = "</script><script>document.title='taken'</script>"


def _texts(name, language, wrong):
    """Six utterances of three speakers; `wrong` of each one's words are wrong."""
    references, hypotheses, speakers = {}, {}, {}
    for number in range(6):
        utt = f"{name}-{number}"
        words = [f"{language}{number}{place}" for place in "abcd"]
        references[utt] = " ".join(words)
        hypotheses[utt] = " ".join(["x"] * wrong + words[wrong:])
        speakers[utt] = f"speaker{number % 3}"
    return references, hypotheses, speakers


def _experiment(folder, wrong, evil=False):
    for name, language in SETS.items():
        references, hypotheses, speakers = _texts(name, language, wrong)
        if evil:
            hypotheses[f"{name}-0"] = EVIL
        scored = score(
            references,
            hypotheses,
            normaliser="none",
            speakers=speakers,
            languages=dict.fromkeys(references, language),
        )
        path = folder / TAG / name / "score.json"
        save_score(path, scored, "none", {"reference": f"data/{name}"})


def _make(home):
    """A baseline and two seeds of a system, named as the recipe names them, and the data."""
    _experiment(home / "exp/asr_base_seed1_0123abcd", 2, evil=True)
    _experiment(home / "exp/asr_ot_seed1_0123abce", 1)
    _experiment(home / "exp/asr_ot_seed2_0123abcf", 0)
    for name in SETS:
        clips = {
            f"{name}-{number}": corpus_trees.write_audio(home / f"audio/{name}-{number}.flac")
            for number in range(6)
        }
        corpus_trees.data_dir(home / "data" / name, clips)
    return sorted(str(path.relative_to(home)) for path in (home / "exp").iterdir())


@pytest.fixture(scope="session")
def make_experiments():
    return _make


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return _make(tmp_path)


@pytest.fixture
def evil():
    """What the first hypothesis of the baseline is."""
    return EVIL
