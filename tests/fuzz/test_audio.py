"""Recordings cut, garbled or lying about themselves: samples, or a listed reason."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import strategies as st

from espnet_otreg.corpora import mpeg
from espnet_otreg.corpora.audio import BadAudio, load_clip, rate_of
from espnet_otreg.corpora.format_set import Job, Settings, format_batch, target_path
from espnet_otreg.corpora.truncation import look_at_end
from espnet_otreg.errors import UserError
from tests.support import corpus_trees as trees

FORMATS = {"wav": {}, "flac": {}, "mp3": {"format": "MP3"}, "ogg": {}}
PIECES = [
    *(b"\0" * 4, b"\xff" * 4, b"RIFF", b"WAVE", b"fmt ", b"data", b"fLaC", b"OggS", b"ID3", b"TAG"),
    *(
        b"Xing\0\0\0\x0f",
        b"Info",
        b"APETAGEX" + b"\xff" * 24,
        b"\xff\xfb\x90\x64",
        b"\xff\xf3\x18\xc4",
    ),
    *(n.to_bytes(4, "little") for n in (1, 8, 16000, 1 << 16, (1 << 31) - 1, (1 << 32) - 1)),
]


def encoded(ending, seconds=0.1, **options):
    buffer = io.BytesIO()
    given = {"format": ending.upper(), **options}
    soundfile.write(buffer, trees.tone(seconds), trees.RATE, **given)
    return buffer.getvalue()


def recordings(ending):
    """Draw damaged files; most of the damage to the header, which a short file is much of."""
    content = encoded(ending)
    places = st.one_of(st.integers(0, 64), st.integers(0, len(content)))
    patches = st.lists(
        st.tuples(places, st.sampled_from(PIECES) | st.binary(max_size=8)), max_size=4
    )
    lengths = st.one_of(st.just(len(content)), st.just(len(content)), places)
    late = st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(max_size=2)), max_size=3)
    return st.one_of(
        st.builds(_patched, st.just(content), patches, lengths, st.booleans()),
        st.builds(_patched, st.just(content), late, st.just(1 << 20), st.just(False)),
    )


def _patched(content, patches, length, insert):
    for place, piece in patches:
        at = place % len(content) if content else 0
        content = content[:at] + piece + content[at + (0 if insert else len(piece)) :]
    return content[:length]


@pytest.mark.parametrize("ending", list(FORMATS))
def test_recordings(fuzz, tmp_path, ending):
    """A reason, or 16-bit samples; nothing is longer than its seconds at the new rate."""
    path = tmp_path / f"clip.{ending}"

    def check(content):
        path.write_bytes(content)
        try:
            clip = load_clip(path, 8000)
        except BadAudio as error:
            raise UserError(str(error)) from error
        assert clip.samples.dtype == np.int16
        assert 0 < len(clip.samples) < 1000 * len(content)

    fuzz(recordings(ending), check)


def test_frames_of_mp3_are_counted_in_any_bytes(fuzz):
    """What is put in front of frames can be walked again, over as many frames."""

    def check(content):
        walked = mpeg.walk(content, mpeg.after_id3(content))
        if walked is None:
            raise UserError("no frames")
        assert 0 <= walked.start <= walked.end <= len(content)
        if walked.missing:
            raise UserError("cut")
        mpeg.with_count(content, walked)

    mp3 = encoded("mp3", 0.3)
    headers = st.lists(
        st.tuples(st.sampled_from([b"\xff\xfb", b"\xff\xf3", b"\xff\xfd"]), st.binary(max_size=80)),
        max_size=9,
    ).map(lambda parts: b"".join(a + b for a, b in parts))
    fuzz(st.one_of(recordings("mp3"), headers, st.just(mp3)), check, examples=400)


@pytest.mark.parametrize("ending", list(FORMATS))
def test_ends_of_recordings(fuzz, tmp_path, ending):
    path = tmp_path / f"clip.{ending}"

    def check(content):
        path.write_bytes(content)
        if look_at_end(path).missing:
            raise UserError("cut")
        rate_of(path)

    fuzz(recordings(ending), check)


def test_batches_of_formatting(fuzz, tmp_path):
    path = tmp_path / "in.wav"
    job = Job("utt", str(path), target_path(tmp_path / "out", "utt", "flac"))

    def check(content):
        path.write_bytes(content)
        (outcome,) = format_batch([job], Settings(8000))
        if outcome.reason:
            raise UserError(outcome.reason)
        assert outcome.samples == soundfile.info(job.target).frames

    fuzz(recordings("wav"), check)
