"""Memory: about twice the file, whatever the file says of itself."""

import json
import struct
import tracemalloc
from contextlib import contextmanager

import pytest

from espnet_otreg.corpora import mpeg
from espnet_otreg.corpora.audio import BadAudio, load_clip
from espnet_otreg.corpora.clip_tables import read_pairs
from espnet_otreg.corpora.tsv import read_named_rows
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table
from espnet_otreg.measure.truth import read_word_times
from espnet_otreg.scoring.hypotheses import read_hypotheses
from tests.support import corpus_trees as trees

SIZE = 1_500_000  # bytes of a file
CONSTANT = 1_000_000  # of what does not grow with it
LINE = "word " * 40  # 200 characters, a long sentence


@contextmanager
def at_most(size):
    """Hold what Python and numpy allocate to `size` bytes."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= size, f"{peak:,} bytes, at most {size:,}"


def lines(path, text):
    """Write numbered lines until the file has its size; returns twice that and the constant."""
    number = 1 + SIZE // len(text(1).encode())
    path.write_text("".join(text(n) for n in range(number)), "utf-8")
    return 2 * path.stat().st_size + CONSTANT


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("text", lambda n: f"u{n} {LINE}\n"),
        ("x.tsv", lambda n: f"u{n}\t{LINE}\n" if n else "id\ttext\n"),
        ("x.csv", lambda n: f'u{n},"{LINE}"\n' if n else "id,text\n"),
        ("x.jsonl", lambda n: json.dumps({"id": f"u{n}", "text": LINE}) + "\n"),
    ],
)
def test_hypotheses_take_twice_their_file(tmp_path, name, text):
    limit = lines(tmp_path / name, text)
    with at_most(limit):
        assert len(read_hypotheses(tmp_path / name)) > 5_000


def test_a_table_takes_twice_its_file(tmp_path):
    limit = lines(tmp_path / "text", lambda n: f"u{n} {LINE}\n")
    with at_most(limit):
        read_table(tmp_path / "text")


def test_a_corpus_table_takes_twice_its_file(tmp_path):
    limit = lines(tmp_path / "x.tsv", lambda n: f"u{n}\t{LINE}\n")
    with at_most(limit):
        read_pairs(tmp_path / "x.tsv", 2, 0, 1)


def test_rows_are_read_one_at_a_time(tmp_path):
    lines(tmp_path / "x.tsv", lambda n: f"u{n}\t{LINE}\n" if n else "id\ttext\n")
    with at_most(CONSTANT / 3):
        _, rows = read_named_rows(tmp_path / "x.tsv", ["id"])
        assert sum(1 for _ in rows) > 5_000


def test_word_times_are_read_one_at_a_time(tmp_path):
    clip = {"corpus": "c", "lang": "en", "split": "t", "samples": 1, "rate": 1, "words": []}
    lines(tmp_path / "w", lambda n: json.dumps({**clip, "clip": str(n), "x": LINE}) + "\n")
    with at_most(CONSTANT / 3):
        read_word_times(tmp_path / "w", {"x-en-t-7": 1.0})


def test_walking_over_an_mp3_takes_no_copy_of_it():
    frame = b"\xff\xfb\x90\x64".ljust(417, b"\0")
    content = frame * (SIZE // 417)
    with at_most(CONSTANT / 3):
        assert mpeg.walk(content, 0).frames == SIZE // 417


def decoded(path):
    """Read a clip and say how many samples it has, or why it has none."""
    try:
        return len(load_clip(path, 16000).samples)
    except (BadAudio, UserError) as error:
        return str(error)


def test_a_flac_that_claims_hours_takes_what_it_holds(tmp_path):
    path = trees.write_audio(tmp_path / "a.flac")
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the count of samples has 36 bits
    content[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with at_most(50_000_000):
        decoded(path)


@pytest.mark.parametrize("rate", [1, 7, 100])
def test_a_sampling_rate_that_would_multiply_the_samples_is_refused(tmp_path, rate):
    path = trees.write_audio(tmp_path / "a.wav", trees.tone(5))
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    with at_most(CONSTANT):
        assert "sampling rate" in decoded(path)
