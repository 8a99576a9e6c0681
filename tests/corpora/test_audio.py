import numpy as np
import pytest
import soundfile

from espnet_otreg.corpora import audio, format_set
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.format_set import JOURNAL, Settings
from espnet_otreg.corpora.record import by_category
from espnet_otreg.stages import format_audio
from tests.support import corpus_trees as trees

ENCODINGS = {
    "wav": {},
    "flac": {},
    "mp3": {"format": "MP3"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
}


def clips(folder, count=20):
    return {f"u{n:02d}": trees.write_audio(folder / f"{n}.wav") for n in range(count)}


def run(source, output, *options):
    format_audio.main(["--input", str(source), "--output", str(output), "--nj", "1", *options])


def rejections(folder):
    return dict(line.split("\t") for line in (folder / "rejected.tsv").read_text().splitlines())


@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_16_bit_recordings_at_the_right_rate_come_back_bit_for_bit(tmp_path, extension):
    signal = np.random.default_rng(0).integers(-32768, 32768, 1000).astype(np.int16)
    path = trees.write_audio(tmp_path / f"x.{extension}", signal, subtype="PCM_16")
    clip = audio.load_clip(path, trees.RATE)
    assert np.array_equal(clip.samples, signal)
    assert clip.notes == ()
    (tmp_path / "y.flac").write_bytes(audio.encode(clip.samples, trees.RATE, "flac"))
    assert np.array_equal(soundfile.read(tmp_path / "y.flac", dtype="int16")[0], signal)


@pytest.mark.parametrize("extension", ENCODINGS)
def test_every_format_of_the_corpora_is_decoded(tmp_path, extension):
    path = trees.write_audio(tmp_path / f"x.{extension}", trees.tone(0.5), **ENCODINGS[extension])
    samples = audio.load_clip(path, trees.RATE).samples / 32768
    assert abs(len(samples) / trees.RATE - 0.5) < 0.11  # codecs pad
    assert abs(np.sqrt(np.mean(samples[1600:6400] ** 2)) - 0.3 / np.sqrt(2)) < 0.02


def test_stereo_is_the_mean_of_its_channels(tmp_path):
    stereo = np.stack([trees.tone(), -trees.tone() / 3], axis=1)
    clip = audio.load_clip(trees.write_audio(tmp_path / "x.wav", stereo), trees.RATE)
    assert np.abs(clip.samples / 32768 - trees.tone() / 3).max() < 1e-4
    assert clip.notes == ("2 channels mixed down",)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_other_rates_are_resampled_without_changing_the_tone(tmp_path, rate):
    path = trees.write_audio(tmp_path / "x.wav", trees.tone(0.5, rate), rate)
    clip = audio.load_clip(path, trees.RATE)
    assert len(clip.samples) == 8000
    inner = slice(800, 7200)
    assert np.abs(clip.samples / 32768 - trees.tone(0.5))[inner].max() < 1e-3
    assert clip.notes == (f"resampled from {rate} Hz",)


def test_clipping_is_noted_and_does_not_wrap(tmp_path):
    path = trees.write_audio(tmp_path / "x.wav", 4 * trees.tone(), subtype="FLOAT")
    clip = audio.load_clip(path, trees.RATE)
    assert clip.samples.max() == 32767
    assert clip.samples.min() == -32768
    assert clip.notes == ("clipped",)


def test_slower_speech_is_longer_and_lower(tmp_path):
    path = trees.write_audio(tmp_path / "x.wav", trees.tone(1.0))
    samples = audio.load_clip(path, trees.RATE, speed=0.8).samples
    assert len(samples) == 20000
    peak = np.abs(np.fft.rfft(samples)).argmax() * trees.RATE / len(samples)
    assert abs(peak - 220 * 0.8) < 1


@pytest.mark.parametrize("extension", ENCODINGS)
@pytest.mark.parametrize("share", [0.999, 0.6, 0.1])
def test_a_truncated_recording_is_refused(tmp_path, extension, share):
    noise = np.random.default_rng(0).normal(scale=0.1, size=32000)
    path = trees.write_audio(tmp_path / f"x.{extension}", noise, **ENCODINGS[extension])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(audio.BadAudio, match=r"truncated|unreadable"):
        audio.load_clip(path, trees.RATE)


def test_a_wav_that_was_written_to_a_pipe_is_not_taken_for_truncated(tmp_path):
    path = trees.write_audio(tmp_path / "x.wav")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(audio.load_clip(path, trees.RATE).samples) == len(trees.tone())


def bad_set(folder):
    nan = trees.tone()
    nan[7] = np.nan
    bad = {
        "v-missing": folder / "nowhere.wav",
        "v-zero": folder / "zero.wav",
        "v-silent": trees.write_audio(folder / "silent.wav", np.zeros(0)),
        "v-nan": trees.write_audio(folder / "nan.wav", nan, subtype="FLOAT"),
        "v-noise": folder / "noise.mp3",
    }
    bad["v-zero"].touch()
    bad["v-noise"].write_bytes(bytes(range(1, 200)))
    return bad


def test_unusable_recordings_are_listed_and_the_rest_is_kept(tmp_path):
    odd = {
        "w-stereo": trees.write_audio(tmp_path / "stereo.wav", trees.tone(channels=2)),
        "w-8k": trees.write_audio(tmp_path / "8k.wav", trees.tone(rate=8000), 8000),
    }
    every = {**clips(tmp_path), **bad_set(tmp_path), **odd}
    run(trees.data_dir(tmp_path / "in", every), tmp_path / "out", "--max_rejected", "0.5")
    reasons = rejections(tmp_path / "out")
    assert {utt: reason.partition(":")[0] for utt, reason in reasons.items()} == {
        "v-missing": "missing",
        "v-zero": "empty",
        "v-silent": "empty",
        "v-nan": "not a number",
        "v-noise": "unreadable",
    }
    data = DataDir.load(tmp_path / "out")
    data.validate(tmp_path / "out")
    assert set(data.ids) == every.keys() - reasons.keys()
    for utt, path in data.tables["wav.scp"].items():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.format) == (trees.RATE, 1, "FLAC")
        assert info.frames == int(data.tables["utt2num_samples"][utt])


@pytest.mark.parametrize("limit", ["0.1", "1.0"])
def test_too_large_a_share_of_rejections_is_an_error(tmp_path, limit):
    source = trees.data_dir(tmp_path / "in", bad_set(tmp_path))
    with pytest.raises(SystemExit, match=r"5 of 5 recordings .*rejected.tsv"):
        run(source, tmp_path / "out", "--max_rejected", limit)
    assert len(rejections(tmp_path / "out")) == 5
    assert not (tmp_path / "out" / "wav.scp").exists()


def count_work(monkeypatch):
    made = []
    real = format_set._format_one
    monkeypatch.setattr(
        format_set, "_format_one", lambda job, s: made.append(job.utt_id) or real(job, s)
    )
    return made


def test_a_finished_set_is_not_made_again(tmp_path, monkeypatch):
    source = trees.data_dir(tmp_path / "in", clips(tmp_path))
    run(source, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    made = count_work(monkeypatch)
    run(source, tmp_path / "out")
    assert made == []
    after = {path: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert after == before


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_set_goes_on_and_equals_one_made_at_once(tmp_path, monkeypatch, failure):
    source = trees.data_dir(tmp_path / "in", clips(tmp_path, 40))
    real, written = format_set.writing, []

    def fail_at_20(path, mode):
        written.append(path)
        if len(written) == 20:
            raise failure
        return real(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr(format_set, "writing", fail_at_20)
        with pytest.raises(SystemExit):
            run(source, tmp_path / "out")
    assert not (tmp_path / "out" / "wav.scp").exists()
    made = count_work(monkeypatch)
    run(source, tmp_path / "out")
    assert made == [f"u{n:02d}" for n in range(16, 40)]  # the first batch was in the journal
    run(source, tmp_path / "once")
    for table in ("text", "utt2num_samples", "utt2spk", "rejected.tsv"):
        assert (tmp_path / "out" / table).read_text() == (tmp_path / "once" / table).read_text()


def test_a_write_that_fails_half_way_leaves_no_file(tmp_path, monkeypatch):
    source = trees.data_dir(tmp_path / "in", clips(tmp_path, 1))
    monkeypatch.setattr("espnet_otreg.files.os.replace", lambda *_: 1 / 0)
    job = format_set.Job("u00", str(tmp_path / "0.wav"), str(tmp_path / "out" / "u00.flac"))
    with pytest.raises(ZeroDivisionError):
        format_set.format_batch([job], Settings())
    assert source.is_dir()
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda journal, files: journal.write_bytes(journal.read_bytes()[:-7]),  # a crash mid-line
        lambda journal, files: journal.write_bytes(journal.read_bytes()[:-7] + b"\n"),  # gone on
        lambda journal, files: files[-1].write_bytes(b"short"),
        lambda journal, files: files[-1].unlink(),
    ],
)
def test_what_a_crash_damaged_is_made_again_and_nothing_else(tmp_path, monkeypatch, damage):
    source = trees.data_dir(tmp_path / "in", clips(tmp_path, 5))
    run(source, tmp_path / "out")
    files = [tmp_path / path for path in DataDir.load(tmp_path / "out").tables["wav.scp"].values()]
    damage(tmp_path / "out" / JOURNAL, files)
    made = count_work(monkeypatch)
    run(source, tmp_path / "out")
    assert made == ["u04"]
    made.clear()
    run(source, tmp_path / "out")
    assert made == []


def test_a_replaced_source_is_made_again_and_a_mended_one_is_accepted(tmp_path, monkeypatch):
    every = {**clips(tmp_path, 12), "x": tmp_path / "late.wav"}
    source = trees.data_dir(tmp_path / "in", every)
    run(source, tmp_path / "out")
    assert rejections(tmp_path / "out").keys() == {"x"}
    trees.write_audio(every["x"])
    trees.write_audio(every["u03"], trees.tone(0.4))
    made = count_work(monkeypatch)
    run(source, tmp_path / "out")
    assert made == ["u03", "x"]
    assert rejections(tmp_path / "out") == {}
    assert DataDir.load(tmp_path / "out").tables["utt2num_samples"]["u03"] == "6400"


def test_other_settings_make_everything_again(tmp_path, monkeypatch):
    source = trees.data_dir(tmp_path / "in", clips(tmp_path, 3))
    run(source, tmp_path / "out")
    made = count_work(monkeypatch)
    run(source, tmp_path / "out", "--fs", "8k", "--audio_format", "wav")
    assert len(made) == 3
    info = soundfile.info(next(iter(DataDir.load(tmp_path / "out").tables["wav.scp"].values())))
    assert (info.samplerate, info.format) == (8000, "WAV")


def test_the_number_of_processes_does_not_change_the_result(tmp_path):
    every = {**clips(tmp_path, 40), "x": tmp_path / "nowhere.wav"}
    source = trees.data_dir(tmp_path / "in", every)
    run(source, tmp_path / "one")
    run(source, tmp_path / "two", "--nj", "2")
    for table in ("text", "utt2num_samples", "utt2spk", "spk2utt", "rejected.tsv"):
        assert (tmp_path / "one" / table).read_text() == (tmp_path / "two" / table).read_text()
    assert [path.read_bytes() for path in sorted((tmp_path / "one" / "audio").rglob("*.flac"))] == [
        path.read_bytes() for path in sorted((tmp_path / "two" / "audio").rglob("*.flac"))
    ]


def test_speed_variants_get_names_of_their_own(tmp_path):
    source = trees.data_dir(tmp_path / "in", clips(tmp_path, 2))
    run(source, tmp_path / "out", "--speed", "0.9")
    data = DataDir.load(tmp_path / "out")
    assert data.ids == ["sp0.9-u00", "sp0.9-u01"]
    assert data.tables["utt2spk"]["sp0.9-u00"] == "sp0.9-spk-u"
    assert data.tables["text"]["sp0.9-u00"] == "hello there"
    assert abs(int(data.tables["utt2num_samples"]["sp0.9-u00"]) - 3200 / 0.9) <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--speed", "0"), "--speed 0"),
        (("--nj", "0"), "must be positive"),
        (("--max_rejected", "2"), "share from 0 to 1"),
    ],
)
def test_values_out_of_range_are_named(tmp_path, options, message):
    source = trees.data_dir(tmp_path / "in", clips(tmp_path, 1))
    with pytest.raises(SystemExit, match=message):
        run(source, tmp_path / "out", *options)


@pytest.mark.parametrize("line", ["../u /x.wav", "u sox x.mp3 -t wav - |"])
def test_ids_and_sources_that_are_no_files_are_refused(tmp_path, line):
    source = trees.data_dir(tmp_path / "in", {"u": tmp_path / "x.wav"})
    utt = line.split()[0]
    (source / "wav.scp").write_text(line + "\n")
    for table in ("text", "utt2spk", "utt2lang"):
        (source / table).write_text(f"{utt} x\n")
    with pytest.raises(SystemExit, match=r"error: wav\.scp"):
        run(source, tmp_path / "out")


def test_rejections_are_counted_by_category():
    entries = [format_set.Rejected("a", "missing: x"), format_set.Rejected("b", "missing: y")]
    assert by_category(entries) == {"missing": 2}
