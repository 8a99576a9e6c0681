import io
import subprocess

import numpy as np
import pytest

from espnet_otreg.corpora import audio, g722
from espnet_otreg.errors import UserError
from tests.support import corpus_trees as trees


def test_without_a_decoder_it_says_how_to_get_one_and_blames_no_recording(tmp_path, monkeypatch):
    (tmp_path / "a.g722").write_bytes(bytes(800))
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    monkeypatch.setattr(g722.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="pip install av"):
        audio.load_clip(tmp_path / "a.g722", 16000)


def test_it_is_read_at_16_khz_whatever_its_first_bytes_look_like(tmp_path, monkeypatch):
    samples = np.arange(1600, dtype=np.int16)
    monkeypatch.setattr(g722, "_decoder", lambda: lambda path: samples)
    (tmp_path / "a.g722").write_bytes(b"RIFF\xff\xff\x00\x00" + bytes(792))
    clip = audio.load_clip(tmp_path / "a.g722", 16000)
    assert np.array_equal(clip.samples, samples) and not clip.notes


def test_a_recording_that_is_decoded_in_part_is_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(g722, "_decoder", lambda: lambda path: np.zeros(700, np.int16))
    (tmp_path / "a.g722").write_bytes(bytes(800))
    with pytest.raises(audio.BadAudio, match="700 samples decoded instead of 1600"):
        audio.load_clip(tmp_path / "a.g722", 16000)


def test_the_program_gets_the_file_and_its_complaint_is_the_reason(tmp_path, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, b"", b"no such\n codec\n")

    monkeypatch.setattr(g722.subprocess, "run", run)
    with pytest.raises(ValueError, match="no such codec"):
        g722._by_program(tmp_path / "a.g722")
    assert f"file:{tmp_path / 'a.g722'}" in asked[0]


def test_the_wheel_decodes_what_its_encoder_wrote(tmp_path):
    av = pytest.importorskip("av")
    wave, stream = (trees.tone(1.0) * 32767).astype(np.int16), io.BytesIO()
    with av.open(stream, "w", format="g722") as container:
        encoder = container.add_stream("g722", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux([*encoder.encode(frame), *encoder.encode(None)])
    (tmp_path / "a.g722").write_bytes(stream.getvalue())
    decoded = audio.load_clip(tmp_path / "a.g722", 16000).samples
    assert len(decoded) == 16000
    delay = 22  # of the codec's filters
    assert np.corrcoef(decoded[delay:], wave[:-delay])[0, 1] > 0.99
