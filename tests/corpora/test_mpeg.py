"""MP3s that do not say how long they are: decoded to the end, and refused where the end is gone."""

import io

import numpy as np
import pytest
import soundfile

from espnet_otreg.corpora import audio, mpeg
from espnet_otreg.corpora.truncation import look_at_end
from espnet_otreg.stages import format_audio

SECONDS = 4
RATES = (48000, 44100, 24000, 16000, 11025, 8000)  # MPEG 1, 2 and 2.5
ID3V1 = b"TAG" + b"title".ljust(125, b"\0")
APE = b"APETAGEX" + bytes(4) + (96).to_bytes(4, "little") + bytes(16)


def mp3(rate=48000, mode="VARIABLE", channels=1):
    """Quiet, then loud: a variable bitrate begins far below its mean."""
    half = rate * SECONDS // 2
    level = np.repeat([1e-4, 0.2], half)
    signal = np.random.default_rng(0).normal(size=(2 * half, channels)) * level[:, None]
    buffer = io.BytesIO()
    how = {"bitrate_mode": mode}
    if mode == "CONSTANT":
        how["compression_level"] = 0.5  # without a level it would not be
    soundfile.write(buffer, signal, rate, format="MP3", **how)
    return buffer.getvalue()


def without_xing(content):
    return content[mpeg.parse(content[1], content[2]).size :]


def zeroed(content, flags=True):
    """Blank the numbers; without flags the header does not even claim to have them."""
    at = mpeg.counts(content, 0).at
    start = at + (8 if flags else 4)
    return content[:start] + bytes(at + 16 - start) + content[at + 16 :]


def load(folder, content, rate=48000):
    path = folder / "x.mp3"
    path.write_bytes(content)
    return audio.load_clip(path, rate).samples


def same_but_for_delays(*both):
    """Whether one is in the other: the decoder's delay, and the encoder's, are left out or not."""
    short, long = sorted((samples.astype(int) for samples in both), key=len)
    parts = [long[start:][: len(short)] for start in (0, 529, 529 + 576)]
    return any(len(part) == len(short) and np.abs(part - short).max() <= 1 for part in parts)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_a_variable_bitrate_without_a_count_gives_every_sample(tmp_path, rate, channels):
    content = mp3(rate, channels=channels)
    whole = load(tmp_path, content, rate)
    assert len(whole) == rate * SECONDS
    bare = without_xing(content)
    (tmp_path / "bare.mp3").write_bytes(bare)
    assert soundfile.info(tmp_path / "bare.mp3").frames < 0.95 * len(whole)  # the decoder's guess
    found = load(tmp_path, bare, rate)
    delay = 576  # what the header would have told to leave out
    assert np.abs(found[delay : delay + len(whole)].astype(int) - whole).max() <= 1


@pytest.mark.parametrize("rate", RATES)
def test_a_count_of_zero_is_no_count(tmp_path, rate):
    content = mp3(rate)
    assert np.array_equal(load(tmp_path, zeroed(content), rate), load(tmp_path, content, rate))
    bare = load(tmp_path, without_xing(content), rate)
    assert np.array_equal(load(tmp_path, zeroed(content, flags=False), rate), bare)


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize("stripped", [without_xing, zeroed])
@pytest.mark.parametrize("share", [0.251, 0.503, 0.9, 0.999])
def test_a_part_of_a_file_without_a_count_is_truncated(tmp_path, mode, stripped, share):
    content = stripped(mp3(mode=mode))
    with pytest.raises(audio.BadAudio, match=r"truncated: \d+ bytes .*last frame"):
        load(tmp_path, content[: int(len(content) * share)])


def test_fewer_frames_than_the_header_counts_are_truncated(tmp_path):
    content = mp3()
    at = mpeg.counts(content, 0).at
    unsized = content[: at + 7] + b"\1" + content[at + 8 :]  # the number of bytes is not declared
    assert len(load(tmp_path, unsized)) >= 48000 * SECONDS
    end = 0
    while end < len(content) * 0.7:
        end += mpeg.parse(content[end + 1], content[end + 2]).size
    with pytest.raises(audio.BadAudio, match=r"truncated: \d+ frames instead of \d+"):
        load(tmp_path, unsized[:end])


def test_a_constant_bitrate_is_decoded_as_ever_and_once(tmp_path, monkeypatch):
    content = without_xing(mp3(mode="CONSTANT"))
    monkeypatch.setattr(mpeg, "with_count", lambda *_: pytest.fail("decoded twice"))
    found = load(tmp_path, content)
    expected = soundfile.read(tmp_path / "x.mp3", dtype="float32")[0]
    assert np.array_equal(found, np.clip(np.rint(expected * 32768), -32768, 32767))


def test_a_file_that_has_a_count_is_not_walked(tmp_path, monkeypatch):
    monkeypatch.setattr(mpeg, "walk", lambda *_: pytest.fail("walked"))
    assert len(load(tmp_path, mp3())) == 48000 * SECONDS


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize(
    "tail",
    [
        ID3V1,
        bytes(96 - 32) + APE,
        bytes(96 - 32) + APE + ID3V1,
        bytes(5000),
        b"\xff" * 3000,
        b"\xff\xfb junk \xff\xfb" * 50,
    ],
    ids=["id3v1", "ape", "ape and id3v1", "zeros", "ones", "junk"],
)
def test_what_follows_the_last_frame_is_no_truncation(tmp_path, mode, tail):
    content = without_xing(mp3(mode=mode))
    plain = load(tmp_path, content)
    found = load(tmp_path, content + tail)
    assert same_but_for_delays(found, plain)
    with pytest.raises(audio.BadAudio, match="truncated"):
        load(tmp_path, content[:-9] + ID3V1)


@pytest.mark.parametrize("size", [0, 300, 100_000])
@pytest.mark.parametrize("stripped", [without_xing, zeroed])
def test_a_tag_before_the_first_frame_is_passed_over(tmp_path, size, stripped):
    content = stripped(mp3())
    plain = load(tmp_path, content)
    length = bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    tag = b"ID3\4\0\0" + length + bytes(size)
    found = load(tmp_path, tag + content)
    assert same_but_for_delays(found, plain)
    with pytest.raises(audio.BadAudio, match="truncated"):
        load(tmp_path, tag + content[: len(content) // 2])


def test_a_free_bitrate_is_left_to_the_decoder(tmp_path):
    content = bytearray(without_xing(mp3(mode="CONSTANT")))
    content[2] &= 0x0F
    (tmp_path / "x.mp3").write_bytes(content[:418])
    assert look_at_end(tmp_path / "x.mp3") == ("", None)


def test_what_still_falls_short_is_rejected_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(mpeg, "with_count", lambda content, _: content)
    with pytest.raises(audio.BadAudio, match=r"incompletely decoded: \d+ of \d+ samples"):
        load(tmp_path, without_xing(mp3()))


@pytest.mark.parametrize(
    ("header", "size", "samples"),
    [
        (b"\xff\xfb\x90\x00", 417, 1152),  # MPEG 1 layer III, 128 kbit/s, 44.1 kHz
        (b"\xff\xfb\x92\x00", 418, 1152),  # with padding
        (b"\xff\xf3\x80\x00", 208, 576),  # MPEG 2 layer III, 64 kbit/s, 22.05 kHz
        (b"\xff\xe3\x40\x00", 208, 576),  # MPEG 2.5 layer III, 32 kbit/s, 11.025 kHz
        (b"\xff\xfd\xa4\x00", 576, 1152),  # MPEG 1 layer II, 192 kbit/s, 48 kHz
        (b"\xff\xff\x42\x00", 140, 384),  # MPEG 1 layer I, 128 kbit/s, 44.1 kHz, with padding
    ],
)
def test_frames_have_the_size_that_the_standard_gives_them(header, size, samples):
    frame = mpeg.parse(header[1], header[2])
    assert (frame.size, frame.samples) == (size, samples)


def test_every_header_is_a_frame_or_none():
    every = [mpeg.parse(second, third) for second in range(256) for third in range(256)]
    assert all(frame.size > 20 for frame in every if frame)
    assert sum(frame is None for frame in every) > len(every) // 2


def test_a_set_of_such_recordings_has_their_full_lengths(tmp_path):
    (tmp_path / "u.mp3").write_bytes(without_xing(mp3()))
    source = tmp_path / "in"
    source.mkdir()
    for table, value in {"wav.scp": tmp_path / "u.mp3", "text": "a", "utt2spk": "s"}.items():
        (source / table).write_text(f"u {value}\n")
    options = ["--input", str(source), "--output", str(tmp_path / "out"), "--nj", "1"]
    format_audio.main(options)
    length = int((tmp_path / "out/utt2num_samples").read_text().split()[1])
    assert 0 <= length - 16000 * SECONDS < 1152
