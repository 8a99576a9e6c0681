"""Corpora as strangers ship them: every line is an utterance, a listed rejection, or an error."""

import argparse
import unicodedata
from functools import partial

import pytest
from hypothesis import strategies as st

from espnet_otreg.corpora import CORPORA
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.record import write_rejected
from espnet_otreg.corpora.trainable import normalise_transcript
from espnet_otreg.stages.prepare_data import prepare_data, to_data_dir
from tests.support import corpus_trees as trees

from .inputs import TEXT_PIECES, damaged

SENTENCES = ["Hello there", "said « no »", "two words", "Übung’s"]
FIELDS = st.one_of(
    st.text(max_size=8), st.sampled_from([p.decode("utf-8", "replace") for p in TEXT_PIECES])
)


def tables(path):
    """Draw the table at `path` with damage, or with rows made of odd fields."""
    valid = path.read_bytes()
    width = valid.split(b"\n")[0].count(b"\t") + 1
    rows = st.lists(st.lists(FIELDS, min_size=1, max_size=width + 1).map("\t".join), max_size=4)
    added = rows.map(lambda lines: valid + "\n".join(lines).encode())
    return st.one_of(damaged(valid), damaged(valid), added)


def prepared_as_saved(root, corpus, folder, **options):
    """Prepare, save and read back: what was prepared is what the files say."""
    prepared = CORPORA[corpus].prepare(
        root, trees.LAYOUTS[corpus].language, "test", root / "work", **options
    )
    write_rejected(folder / "rejected.tsv", prepared.rejected)
    listed = (folder / "rejected.tsv").read_text("utf-8").split("\n")
    assert len(listed) == len(prepared.rejected) + 1
    records = {record.utt_id: record for record in prepared.records}
    if records:
        data = to_data_dir(list(records.values()))
        data.save(folder)
        assert DataDir.load(folder) == data


@pytest.mark.parametrize("corpus", list(trees.LAYOUTS))
def test_tables_of_a_corpus(fuzz, tmp_path, corpus):
    trees.plant(tmp_path / "in", corpus, SENTENCES)
    table = trees.LAYOUTS[corpus].table(tmp_path / "in")

    def check(content):
        table.write_bytes(content)
        prepared_as_saved(tmp_path / "in", corpus, tmp_path / "out")

    fuzz(tables(table), check)


@pytest.mark.parametrize("target", [None, "de"])
def test_split_tables_of_covost2(fuzz, tmp_path, target):
    trees.plant(tmp_path / "in", "covost2", SENTENCES)
    table = tmp_path / "in/covost_v2.en_de.tsv"
    (tmp_path / "in/covost_v2.en_fr.tsv").write_bytes(table.read_bytes())

    def check(content):
        table.write_bytes(content)
        prepared_as_saved(tmp_path / "in", "covost2", tmp_path / "out", target=target)

    fuzz(tables(table), check)


def test_stage_one_with_any_table(fuzz, tmp_path):
    trees.plant(tmp_path / "in", "mls", SENTENCES)
    table = trees.LAYOUTS["mls"].table(tmp_path / "in")
    given = {"root": tmp_path / "in", "output": tmp_path / "data", "work": None}
    given |= {"corpus": "mls", "languages": ["fr"], "splits": ["test"], "max_rejected": 0.5}
    given |= dict.fromkeys(["target", "release", "text_column", "ids"])
    args = argparse.Namespace(**given, text="lower", translations="raw")

    def check(content):
        table.write_bytes(content)
        prepare_data(args)
        data = DataDir.load(tmp_path / "data/mls_test")
        data.validate(tmp_path / "data/mls_test")

    fuzz(tables(table), check)


@pytest.mark.parametrize("language", ["en", "tr", "th"])
def test_normalising_transcripts(fuzz, language):
    normalise = partial(normalise_transcript, language=language)

    def check(text):
        once = normalise(text)
        assert once == " ".join(once.split())
        assert unicodedata.is_normalized("NFC", once)

    fuzz(st.text(), check)
