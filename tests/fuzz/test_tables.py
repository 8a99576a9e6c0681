"""Tables of anybody's: every row is an utterance, a listed rejection, or an error in words."""

import json

import pytest
from hypothesis import strategies as st

from espnet_otreg.corpora import table
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.record import write_rejected
from espnet_otreg.stages.prepare_data import to_data_dir
from tests.support import corpus_trees as trees
from tests.support import table_trees as tables

from .inputs import JSON_PIECES, as_json, changed, damaged, yaml_files

COLUMNS = {"audio": "audio", "text": "text", "id": "id", "speaker": "who", "language": "lang"}
COLUMNS |= {"translation": "tr", "offset": "offset", "duration": "duration", "split": "split"}
ROW = {"audio": "x.wav", "text": "hello", "id": "a", "who": "s1", "lang": "en", "tr": "hallo"}
ROW |= {"offset": 0.05, "duration": 0.1, "split": "test"}
MAP = {"columns": COLUMNS, "files": "test.*", "languages": {"e": "en"}, "target": "de"}
INSIDE = {"audio": {"bytes": b"", "path": "x.wav"}, "text": "hello", "id": "a", "who": None}


def prepared_as_saved(root):
    """Prepare, save and read back: what was prepared is what the files say."""
    prepared = table.prepare(root, "en", "test", root / "work")
    folder = root / "out"
    write_rejected(folder / "rejected.tsv", prepared.rejected)
    listed = (folder / "rejected.tsv").read_text("utf-8").split("\n")
    assert len(listed) == len(prepared.rejected) + 1
    assert len({record.utt_id for record in prepared.records}) == len(prepared.records)
    if prepared.records:
        data = to_data_dir(prepared.records)
        data.save(folder)
        assert DataDir.load(folder) == data


@pytest.fixture
def root(tmp_path):
    trees.write_audio(tmp_path / "in/x.wav")
    tables.write_map(tmp_path / "in", **MAP)
    return tmp_path / "in"


def test_lines_of_manifests_of_others(fuzz, root):
    rows = st.lists(changed(ROW).map(as_json), min_size=1, max_size=3).map(b"\n".join)
    valid = json.dumps(ROW).encode()
    lines = st.one_of(rows, damaged(valid + b"\n" + valid, pieces=JSON_PIECES))

    def check(content):
        (root / "test.jsonl").write_bytes(content)
        prepared_as_saved(root)

    fuzz(lines, check, examples=300)


def test_cuts(fuzz, root):
    cut = tables.cut("a", "x.wav", "hello", 0.05, 0.1)
    tables.write_map(root, preset="lhotse", files="test.*")

    def check(content):
        (root / "test.jsonl").write_bytes(content)
        prepared_as_saved(root)

    fuzz(changed(cut).map(as_json), check)


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_tables_of_text(fuzz, root, ending):
    path = tables.write_csv(root / f"test.{ending}", [ROW, ROW], {"csv": ",", "tsv": "\t"}[ending])

    def check(content):
        path.write_bytes(content)
        prepared_as_saved(root)

    header, _, rows = path.read_bytes().partition(b"\n")
    below = damaged(rows, pieces=[b'"', b'""', b";", b"\0"]).map(lambda rest: header + b"\n" + rest)
    fuzz(st.one_of(below, damaged(path.read_bytes())), check)


def test_maps_of_columns(fuzz, root):
    tables.write_jsonl(root / "test.jsonl", [ROW])
    given = {"preset": "nemo", "splits": {"test": ["test.jsonl", "*.jsonl"]}, "language": "en"}

    def check(content):
        (root / "table.yaml").write_bytes(content)
        prepared_as_saved(root)

    fuzz(yaml_files(MAP, given), check)


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_tables_with_recordings_inside(fuzz, root, ending):
    """Damage anywhere: in the recordings, in the values, and in what the format says of itself."""
    rows = [{**INSIDE, "audio": {"bytes": tables.encoded(n), "path": f"{n}.wav"}} for n in range(2)]
    columns = {"audio": "audio", "text": "text", "id": "id"}
    tables.write_map(root, columns=columns, language="en")
    write = {"parquet": tables.write_parquet, "arrow": tables.write_arrow}[ending]
    path = write(root / f"test.{ending}", rows)

    def check(content):
        path.write_bytes(content)
        prepared_as_saved(root)

    fuzz(damaged(path.read_bytes(), edits=2), check)
