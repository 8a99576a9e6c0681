"""Choosing among n best sentences; decoding itself has tests of its own."""

from pathlib import Path

import pytest

from espnet_otreg.files import read_json, write_lines
from espnet_otreg.stages import rescore
from espnet_otreg.stages.rescore import Candidate, cross_fitted, halved

SAID = {f"s{i}_u": f"the red key {i}" for i in range(8)}
SPEAKERS = {utterance: utterance[:2] for utterance in SAID}


def some(said):
    """CTC prefers the wrong sentence by a little, the language model the right one."""
    wrong = said.replace("red", "rad")
    return [
        Candidate(tuple(wrong.split()), wrong, -1.0, -9.0),
        Candidate(tuple(said.split()), said, -1.5, -4.0),
    ]


def fitted(found, errors):
    return cross_fitted(found, errors, halved(SPEAKERS, list(found)))


def test_no_speaker_is_in_both_halves():
    speakers = {f"u{i}": f"s{i % 3}" for i in range(9)}
    halves = halved(speakers, list(speakers))
    met = [{speakers[utterance] for utterance in half} for half in halves]
    assert not met[0] & met[1] and sum(map(len, halves)) == 9


def test_the_language_model_is_listened_to_where_that_helps_the_other_half():
    found = {utterance: some(said) for utterance, said in SAID.items()}
    helped = fitted(found, {u: [1, 0] for u in found})
    assert set(helped.places.values()) == {1} and all(weight > 0 for weight, _ in helped.fitted)
    misled = fitted(found, {u: [0, 1] for u in found})
    assert set(misled.places.values()) == {0} and misled.fitted == [(0.0, 0.0)] * 2


def test_what_is_chosen_for_a_half_does_not_depend_on_its_own_errors():
    found = {utterance: some(said) for utterance, said in SAID.items()}
    first, second = halved(SPEAKERS, list(found))
    errors = {u: [1, 0] if u in first else [0, 1] for u in found}
    places = fitted(found, errors).places
    assert {places[u] for u in first} == {0}  # by the second half's errors
    assert {places[u] for u in second} == {1}


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = {"text": SAID, "utt2spk": SPEAKERS, "wav.scp": dict.fromkeys(SAID, "x.wav")}
    tables["utt2lang"] = dict.fromkeys(SAID, "en")
    for name, table in tables.items():
        write_lines(Path("a_test") / name, [f"{key} {value}" for key, value in table.items()])
    write_lines(Path("exp/ctc/config.yaml"), ["seed: 1"])
    Path("exp/ctc/model.pth").touch()
    found = {utterance: some(said) for utterance, said in SAID.items()}
    monkeypatch.setattr(rescore, "candidates", lambda args, audio: found)
    words = ["--asr_exp", "exp/ctc", "--model_file", "model.pth", "--lm", "lm", "--sets", "a_test"]
    return [*words, "--output", "exp/rescored", "--decode_tag", "decode_x"]


def test_the_output_is_compared_like_an_experiment(data):
    rescore.main(data)
    folder = Path("exp/rescored/decode_x/a_test")
    assert folder.joinpath("text").read_text().splitlines()[0] == "s0_u the red key 0"
    told = read_json(folder / "rescored.json")
    assert told["cer"] == {"first": pytest.approx(1 / 13), "rescored": 0, "oracle": 0}
    assert read_json(folder / "score.json")["total"]["error_rate"] == 0
    assert Path("exp/rescored/config.yaml").read_text() == "seed: 1\n"  # the same draw


def test_what_is_missing_is_named(data):
    Path("exp/ctc/model.pth").unlink()
    with pytest.raises(SystemExit, match=r"exp/ctc/model\.pth does not exist: train first"):
        rescore.main(data)
