"""The recordings of a formatted set against its tables: every wrong one is named and mended."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_otreg.corpora import audio
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.validate import MISMATCHES, wrong_recordings
from espnet_otreg.stages import format_audio
from tests.support import corpus_trees as trees

CLIPS = [f"u{n}" for n in range(8)]


@pytest.fixture
def source(tmp_path):
    clips = {utt: trees.write_audio(tmp_path / f"{utt}.wav") for utt in CLIPS}
    return trees.data_dir(tmp_path / "in", clips)


def run(source, output, *options):
    format_audio.main(["--input", str(source), "--output", str(output), "--nj", "1", *options])


def recordings(output):
    return {path.stem: path for path in (output / "audio").rglob("*.*")}


def listed(output):
    return dict(line.split("\t") for line in (output / MISMATCHES).read_text().splitlines())


def put(path, at, value):
    """Overwrite four bytes of a WAV's header: the file's size stays."""
    content = bytearray(path.read_bytes())
    content[at : at + 4] = struct.pack("<I", value)
    path.write_bytes(content)


RATE, DATA = 24, 40  # where a WAV says so


def damage(files):
    """Harm six of eight files in ways that their size does not show."""
    for utt in CLIPS[:3]:
        files[utt].write_bytes(bytes(files[utt].stat().st_size))
    for utt in CLIPS[3:5]:
        put(files[utt], DATA, 1000)  # bytes: 500 samples
    put(files["u5"], RATE, 8000)


EXPECTED = {
    **dict.fromkeys(CLIPS[:3], "unreadable: "),
    **dict.fromkeys(CLIPS[3:5], "wrong samples 500 instead of 3200: "),
    "u5": "wrong sampling rate 8000 instead of 16000: ",
}


def test_every_damaged_recording_is_named_and_made_anew_by_the_next_run(source, tmp_path, caplog):
    output = tmp_path / "out"
    run(source, output, "--audio_format", "wav")
    before = {utt: path.read_bytes() for utt, path in recordings(output).items()}
    damage(recordings(output))
    with pytest.raises(SystemExit) as stop:
        run(source, output, "--audio_format", "wav", "--validate")
    found = listed(output)
    assert found.keys() == EXPECTED.keys()
    assert all(found[utt].startswith(reason) for utt, reason in EXPECTED.items())
    shown = str(stop.value)
    assert "6 recording(s) or line(s) of the manifest" in shown
    assert str(output / MISMATCHES) in shown
    assert "Run the same command again" in shown
    assert all(f"  {utt}: " in shown for utt in CLIPS[:5])  # and not all of a thousand
    assert shown.endswith("...")
    assert not (output / "wav.scp").exists()  # whose presence says that the set is complete
    caplog.set_level("INFO")
    run(source, output, "--audio_format", "wav", "--validate")
    assert "8 utterances, 2 already there" in caplog.text
    assert {utt: path.read_bytes() for utt, path in recordings(output).items()} == before
    assert not (output / MISMATCHES).exists()
    assert list(wrong_recordings(output, DataDir.load(output), trees.RATE)) == []


def test_the_remedy_works_without_the_option_too(source, tmp_path):
    output = tmp_path / "out"
    run(source, output, "--audio_format", "wav")
    damage(recordings(output))
    with pytest.raises(SystemExit, match=MISMATCHES):
        run(source, output, "--audio_format", "wav", "--validate")
    run(source, output, "--audio_format", "wav")
    assert list(wrong_recordings(output, DataDir.load(output), trees.RATE)) == []
    assert not (output / MISMATCHES).exists()


def test_new_recordings_are_checked_without_being_asked_to(source, tmp_path, monkeypatch):
    real = audio.encode
    with monkeypatch.context() as patch:  # as an encoder that loses the end
        patch.setattr(audio, "encode", lambda samples, *rest: real(samples[:-7], *rest))
        with pytest.raises(SystemExit, match=r"8 recording\(s\)"):
            run(source, tmp_path / "out")
    found = listed(tmp_path / "out")
    assert list(found) == CLIPS
    assert all("samples 3193 instead of 3200" in reason for reason in found.values())
    run(source, tmp_path / "out")
    assert DataDir.load(tmp_path / "out").ids == CLIPS


def test_channels_lengths_and_rates_are_all_told(source, tmp_path):
    output = tmp_path / "out"
    run(source, output)
    data = DataDir.load(output)
    stereo = np.zeros((100, 2))
    soundfile.write(data.tables["wav.scp"]["u3"], stereo, 8000)
    Path(data.tables["wav.scp"]["u6"]).unlink()
    gone, told = sorted(wrong_recordings(output, data, trees.RATE), reverse=True)
    assert (told.where, gone.where) == ("u3", "u6")
    for part in ("rate 8000 instead of 16000", "channels 2 instead of 1", "100 instead of 3200"):
        assert part in told.reason
    assert gone.reason.startswith("unreadable")


def test_the_number_of_processes_does_not_change_what_is_found(source, tmp_path, monkeypatch):
    monkeypatch.setattr("espnet_otreg.corpora.validate.WORTH_A_WORKER", 1)
    output = tmp_path / "out"
    run(source, output, "--audio_format", "wav")
    damage(recordings(output))
    one, two = (
        list(wrong_recordings(output, DataDir.load(output), trees.RATE, nj)) for nj in (1, 2)
    )
    assert one == two
    assert [problem.where for problem in one] == list(EXPECTED)


def test_a_run_that_finds_all_done_loads_no_audio_library(source, tmp_path):
    run(source, tmp_path / "out")
    code = (
        "import sys; from espnet_otreg.stages.format_audio import main; main();"
        "sys.exit(str({'numpy', 'soundfile'} & {*sys.modules} or ''))"
    )
    options = ["--input", str(source), "--output", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True)
    assert "8 already there" in done.stderr
    assert "{" not in done.stderr
