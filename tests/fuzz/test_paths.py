"""Paths that nobody would choose: with blanks, quotes, line ends, foreign bytes, or too long."""

import os
from pathlib import Path

import pytest
from hypothesis import strategies as st

from espnet_otreg.corpora import CORPORA
from espnet_otreg.corpora.audio import BadAudio, load_clip, rate_of
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.record import write_rejected
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, read_table
from espnet_otreg.recipe.sweep import read_sweep
from espnet_otreg.report.experiments import find_decoding, group_experiments
from espnet_otreg.scoring.hypotheses import read_hypotheses
from espnet_otreg.scoring.results import parse_external, parse_systems
from espnet_otreg.scoring.score_file import load_score
from espnet_otreg.stages.prepare_data import to_data_dir
from tests.support import corpus_trees as trees

PIECES = ["a", " ", "  ", "'", '"', "\n", "\r", "\t", ";", "|", "$(x)", "`x`", "*", "[a]", "?", "~"]
PIECES += ["é", "e\u0301", "\u2028", "\u202e", "🙂", "-", "--x", ".", "..", "#", "%", "&", "=", ","]
PIECES += [os.fsdecode(bytes([n])) for n in (0x80, 0xE9, 0xFF)] + ["\x01", "\x1b[31m", "\x7f", "\\"]
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)
FOLDERS = NAMES.filter(lambda name: name not in (".", ".."))
ANY = st.one_of(
    NAMES,
    st.text(max_size=6),
    st.sampled_from(["\0", "a\0b", "a" * 300, "a/" * 3000, "/dev/null", "/proc/self/mem", "", "/"]),
    st.lists(NAMES, max_size=3).map("/".join),
)


@pytest.mark.parametrize("corpus", list(trees.LAYOUTS))
def test_folders_of_a_corpus(fuzz, tmp_path, corpus):
    """The data directory says what was prepared, wherever it lies."""
    trees.plant(tmp_path / "in", corpus, ["hello"])
    layout = trees.LAYOUTS[corpus]
    at = [tmp_path / "in"]

    def check(name):
        at.append(at[-1].rename(tmp_path / name)) if at[-1].name != name else None
        prepared = CORPORA[corpus].prepare(at[-1], layout.language, "test", tmp_path / "work")
        data = to_data_dir(prepared.records)
        data.save(tmp_path / "saved.d")
        assert DataDir.load(tmp_path / "saved.d") == data

    free = FOLDERS.filter(lambda name: name not in ("saved.d", "work"))
    fuzz(free, check, examples=60)


@pytest.mark.parametrize("corpus", list(trees.LAYOUTS))
def test_names_of_recordings(fuzz, tmp_path, corpus):
    """A recording under a strange name beside the others is passed over or listed."""
    clips = trees.plant(tmp_path / "in", corpus, ["hello", "you"])
    content = clips[0].read_bytes()

    def check(name):
        path = clips[0].with_name(f"{name}{clips[0].suffix}")
        path.write_bytes(content)
        try:
            language = trees.LAYOUTS[corpus].language
            got = CORPORA[corpus].prepare(tmp_path / "in", language, "test", tmp_path / "work")
            assert len(got.records) == 2
            write_rejected(tmp_path / "rejected.tsv", got.rejected)
            assert (tmp_path / "rejected.tsv").read_text("utf-8").count("\n") == len(got.rejected)
        finally:
            path.unlink()

    fuzz(NAMES.map(lambda name: f"x{name}"), check, examples=60)


READERS = {
    "table": read_table,
    "json": read_json,
    "data directory": DataDir.load,
    "hypotheses": read_hypotheses,
    "score": load_score,
    "sweep": read_sweep,
    "rate": rate_of,
    "recording": lambda path: load_clip(path, 16000),
    "systems": lambda path: find_decoding(parse_systems([str(path)], None), None),
    "groups": lambda path: group_experiments([str(path)], None),
    "external": lambda path: parse_external([f"x={path}"]),
}


@pytest.mark.parametrize("reader", list(READERS))
def test_paths_of_a_reader(fuzz, reader):
    """OSError is a refusal too: commands tell it in one line."""
    Path("good").write_text("a b\n")

    def check(name):
        if name == "good":
            return
        try:
            READERS[reader](Path(name))
        except BadAudio as error:
            raise UserError(str(error)) from error

    fuzz(st.one_of(ANY, st.just("good")), check, examples=60, refusals=(UserError, OSError))
