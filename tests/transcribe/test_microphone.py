"""`espnet-otreg transcribe --microphone`, with a stand-in for the package sounddevice."""

import io
import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from espnet_otreg.errors import UserError
from espnet_otreg.stages import transcribe
from espnet_otreg.transcribe.microphone import Microphone
from espnet_otreg.transcribe.recordings import read

RATE = 8000


class PortAudioError(Exception):
    pass


@pytest.fixture
def device(monkeypatch):
    """A microphone that hears a ramp; `heard` counts samples, `does` may act on each block."""
    state = SimpleNamespace(heard=0, opened=[], does=lambda: False, level=1)

    class InputStream:
        def __init__(self, **options):
            state.opened.append(options)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            state.opened.append("closed")

        def read(self, count):
            overflowed = state.does()
            ramp = (np.arange(state.heard, state.heard + count) % 1000) * state.level
            state.heard += count
            return ramp.astype(np.int16)[:, None], overflowed

    state.library = SimpleNamespace(
        PortAudioError=PortAudioError,
        InputStream=InputStream,
        query_devices=lambda kind: {"name": f"the {kind}", "default_samplerate": float(RATE)},
    )
    monkeypatch.setitem(sys.modules, "sounddevice", state.library)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return state


@pytest.fixture
def terminal(device, monkeypatch):
    """A terminal's other end: what is written into it is typed."""
    typing, seen = os.openpty()
    with os.fdopen(seen) as stdin, os.fdopen(typing, "wb", buffering=0) as keys:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield keys


def failing(device, after, message="unplugged"):
    def does():
        if device.heard >= after:
            raise PortAudioError(message)
        return False

    return does


def test_a_recording_lasts_the_seconds_asked_for_and_has_the_microphones_rate(device, tmp_path):
    Microphone(1.05).record(tmp_path / "a.wav")
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == RATE
    assert np.array_equal(samples, np.arange(8400) % 1000)
    assert device.opened == [{"samplerate": RATE, "channels": 1, "dtype": "int16"}, "closed"]
    assert len(read(tmp_path / "a.wav", 16000)) == 16800


def test_enter_ends_a_recording_but_not_one_typed_before_it_began(device, terminal, tmp_path):
    microphone = Microphone()
    terminal.write(b"too early\n")

    def does():
        if device.heard == 3 * RATE:
            terminal.write(b"\n")
        return False

    device.does = does
    microphone.record(tmp_path / "a.wav")
    assert soundfile.info(tmp_path / "a.wav").frames == device.heard > 3 * RATE


def test_what_goes_wrong_while_recording_is_told_and_what_was_heard_is_kept(
    device, tmp_path, caplog
):
    device.does = failing(device, after=RATE)
    Microphone(5).record(tmp_path / "a.wav")
    assert soundfile.info(tmp_path / "a.wav").frames == RATE
    assert "the input failed after 1.0 s: unplugged" in caplog.text
    assert "samples were lost" not in caplog.text and "muted" not in caplog.text
    device.does, device.level = lambda: True, 0
    Microphone(1).record(tmp_path / "b.wav")
    assert "samples were lost 10 times" in caplog.text
    assert "the input gave nothing but silence: is it muted?" in caplog.text


def test_a_microphone_that_gives_nothing_leaves_no_file(device, tmp_path):
    device.does = failing(device, after=0, message="busy")
    with pytest.raises(UserError, match=r"the input cannot be recorded \(busy\): close what else"):
        Microphone(1).record(tmp_path / "a.wav")
    assert not list(tmp_path.iterdir())


def absent(kind):
    raise PortAudioError("Error querying device -1")


@pytest.mark.parametrize(
    ("lacking", "arguments", "told"),
    [
        ("package", ["--microphone", "--seconds", "1"], "pip install 'espnet_otreg[microphone]'"),
        ("portaudio", ["--microphone", "--seconds", "1"], "apt-get install libportaudio2"),
        ("device", ["--microphone", "--seconds", "1"], "no microphone was found (Error querying"),
        ("terminal", ["--microphone"], "standard input is no terminal: give --seconds"),
        ("sense", ["--microphone", "a.wav"], "or --microphone, and not both"),
        ("sense", [], "give recordings, folders of them, or --microphone"),
        ("sense", ["a.wav", "--seconds", "3"], "--seconds is for --microphone"),
        ("sense", ["--microphone", "--seconds", "0"], "--seconds must be 1 or more"),
    ],
)
def test_what_is_missing_is_told_in_one_line_before_a_model_is_opened(
    lacking, arguments, told, device, monkeypatch, tmp_path
):
    if lacking == "package":
        monkeypatch.setitem(sys.modules, "sounddevice", None)
    elif lacking == "portaudio":
        monkeypatch.delitem(sys.modules, "sounddevice")
        (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
        monkeypatch.syspath_prepend(tmp_path)
    elif lacking == "device":
        device.library.query_devices = absent
    with pytest.raises(SystemExit) as end:
        transcribe.main(["no/such.zip", *arguments])
    line = str(end.value.code)
    assert line.startswith("error: ") and "\n" not in line and told in line


def test_what_is_said_is_written_down_as_if_it_were_a_file(device, packs, tmp_path, capsys):
    given = [str(packs["otreg"]), "--microphone", "--seconds", "2", "--output"]
    transcribe.main([*given, str(tmp_path / "out"), "--format", "jsonl"])
    (kept,) = (tmp_path / "out").glob("microphone_*.wav")
    (line,) = (tmp_path / "out/transcripts.jsonl").read_text(encoding="utf-8").splitlines()
    row = json.loads(line)
    assert (row["audio_filepath"], row["duration"]) == (str(kept), 2.0)
    assert not (tmp_path / "out/rejected.tsv").exists()
    capsys.readouterr()
    transcribe.main([str(packs["otreg"]), "--format", "txt", str(kept)])  # behind an option
    from_file = capsys.readouterr().out
    device.heard = 0
    transcribe.main(given[:-1])
    assert capsys.readouterr().out == from_file == row["pred_text"] + "\n"


def test_a_folder_keeps_what_was_said_before(device, packs, tmp_path):
    (tmp_path / "out").mkdir()
    ramp = np.tile(np.arange(1000, dtype=np.int16), 16)
    soundfile.write(tmp_path / "out/microphone_20260101_000000.wav", ramp, RATE)
    given = [str(packs["otreg"]), "--microphone", "--seconds", "2", "--format", "ctm"]
    transcribe.main([*given, "--output", str(tmp_path / "out")])
    names = {row.split()[0] for row in (tmp_path / "out/transcripts.ctm").read_text().splitlines()}
    assert len(names) == 2 and "microphone_20260101_000000" in names
