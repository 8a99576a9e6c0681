"""A pretrained Whisper decodes by itself: told its language, whatever stands beside in a batch."""

import numpy as np
import pytest
import soundfile

from espnet_otreg.decode.whisper import Whisper
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.stages import whisper_inference
from tests.support.tiny_speech import SECONDS, save_encoder, save_whisper


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_whisper(tmp_path_factory.mktemp("whisper") / "model")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    home, draw = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    paths = []
    for number, seconds in enumerate((0.4, 0.9, 0.7)):
        path = home / f"{number}.wav"
        soundfile.write(path, 0.1 * draw.standard_normal(int(16000 * seconds)), 16000)
        paths.append(str(path))
    return paths


def test_an_answer_does_not_depend_on_the_rest_of_its_batch(folder, clips):
    whisper = Whisper(str(folder))
    together = whisper.transcribe(clips, ["en"] * 3)
    assert together == [whisper.transcribe([clip], ["en"])[0] for clip in clips]
    assert len(set(together)) == 3 and all(together)


def test_every_utterance_is_decoded_in_its_own_language(folder, clips, monkeypatch):
    whisper = Whisper(str(folder))
    told, generate = [], whisper.network.generate

    def heard(features, **options):
        told.append((len(features), options["language"], options["task"]))
        return generate(features, **options)

    monkeypatch.setattr(whisper.network, "generate", heard)
    mixed = whisper.transcribe(clips, ["fr", "en", "fr"])
    assert told == [(2, "fr", "transcribe"), (1, "en", "transcribe")]
    assert mixed[1] == whisper.transcribe(clips[1:2], ["en"])[0]


def test_an_english_whisper_is_not_told_a_language_and_refuses_others(tmp_path, clips):
    whisper = Whisper(str(save_whisper(tmp_path / "english", languages=())))
    assert whisper.transcribe(clips[:1], ["en"]) == whisper.transcribe(clips[:1], [None])
    with pytest.raises(UserError, match="of English alone, and an utterance is in 'fr'"):
        whisper.transcribe(clips[:1], ["fr"])


def test_what_it_cannot_do_is_said_in_one_line(folder, tmp_path, clips):
    whisper = Whisper(str(folder))
    with pytest.raises(UserError, match="does not know the language 'xx'; it knows en fr"):
        whisper.transcribe(clips[:1], ["xx"])
    long = tmp_path / "long.wav"
    soundfile.write(long, np.zeros(16000 * (SECONDS + 1)), 16000)
    with pytest.raises(UserError, match="takes 1 s at most"):
        whisper.transcribe([str(long)], ["en"])
    with pytest.raises(UserError, match="holds no tokenizer"):
        Whisper(str(save_encoder(tmp_path / "bare", "whisper")))


def test_the_command_writes_the_tables_of_a_decoder(folder, clips, tmp_path):
    write_lines(tmp_path / "wav.scp", [f"u{i} {clip}" for i, clip in enumerate(clips)])
    write_lines(tmp_path / "utt2lang", ["u0 en", "u1 fr", "u2 en"])
    write_lines(tmp_path / "keys", ["u2", "u1"])
    whisper_inference.main([
        "--model", str(folder), "--wav_scp", str(tmp_path / "wav.scp"),
        "--utt2lang", str(tmp_path / "utt2lang"), "--key_file", str(tmp_path / "keys"),
        "--output_dir", str(tmp_path / "out"),
    ])  # fmt: skip
    found = read_table(tmp_path / "out/1best_recog/text")
    expected = Whisper(str(folder)).transcribe(clips[1:], ["fr", "en"])
    assert [found["u1"], found["u2"]] == expected
    assert set(read_table(tmp_path / "out/1best_recog/seconds")) == {"u1", "u2"}
