"""What is wrong with people's tables: each is listed with its reason, or a clear error."""

import struct
import sys
from pathlib import Path

import pytest

from espnet_otreg.corpora import table
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from espnet_otreg.stages import format_audio, prepare_data
from tests.support import corpus_trees as trees
from tests.support import table_trees as tables

COLUMNS = {"audio": "audio", "text": "text"}


def prepare(root):
    return table.prepare(root, "en", "test", root / "work")


def row(number, **changed):
    audio = {"bytes": tables.encoded(number), "path": f"c{number}.wav"}
    return {"audio": audio, "text": f"sentence {number}", **changed}


def parquet(root, *rows, columns=COLUMNS, name="test.parquet"):
    tables.write_map(root, columns=columns, language="en")
    tables.write_parquet(root / name, rows)
    return root


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    parquet(tmp_path, row(1), columns={**COLUMNS, "text": "sentence"})
    told = r"test\.parquet has no column sentence \(text\); it has: audio, text\. Name the right"
    with pytest.raises(UserError, match=told):
        prepare(tmp_path)
    parquet(tmp_path, row(1), columns={**COLUMNS, "speaker": "who"})  # not needed, but asked for
    with pytest.raises(UserError, match=r"has no column who \(speaker\)"):
        prepare(tmp_path)
    tables.write_map(tmp_path, preset="covost2", columns={"text": "text"}, language="en")
    assert len(prepare(tmp_path).records) == 1  # a preset's optional columns may be absent


def test_rows_of_jsonl_without_a_column_are_listed_and_all_of_them_an_error(tmp_path):
    trees.write_audio(tmp_path / "x.wav")
    tables.write_map(tmp_path, columns=COLUMNS, language="en")
    good = {"audio": "x.wav", "text": "a"}
    tables.write_jsonl(tmp_path / "test.jsonl", [good, {"audio": "x.wav", "txt": "b"}])
    prepared = prepare(tmp_path)
    assert len(prepared.records) == 1
    assert prepared.rejected[0].reason == "no column text: the row has audio, txt"
    tables.write_jsonl(tmp_path / "test.jsonl", [{"audio": "x.wav", "txt": "b"}] * 2)
    with pytest.raises(UserError, match=r"all 2 rows have no column text: the row has audio, txt"):
        prepare(tmp_path)


def test_null_audio_and_what_is_no_audio_is_listed(tmp_path):
    null = {"bytes": None, "path": None}
    lost = [row(1, audio=null), row(2, audio=None), row(3, audio={"bytes": b"", "path": None})]
    prepared = prepare(parquet(tmp_path, row(0), *lost))
    assert len(prepared.records) == 1
    assert by_category(prepared.rejected) == {"no audio": 3}
    assert prepared.rejected[0].where == "table-en-test-test.parquet-2"
    prepared = prepare(parquet(tmp_path, row(0), row(1, audio={**null, "path": "x.wav"})))
    gone = f"missing clip: {tmp_path}/x.wav, and the table does not hold it"
    assert prepared.rejected[0].reason == gone
    tables.write_parquet(tmp_path / "test.parquet", [{"audio": [0.1, 0.2], "text": "a"}])
    (entry,) = prepare(tmp_path).rejected
    assert entry.reason == "audio is neither bytes nor a path: list"


def test_empty_texts_and_texts_that_are_none_are_listed(tmp_path):
    prepared = prepare(parquet(tmp_path, row(0), row(1, text=None), row(2, text=" ")))
    assert by_category(prepared.rejected) == {"empty sentence": 2}


def test_a_sampling_rate_that_the_recording_does_not_have_is_listed(tmp_path):
    columns = {**COLUMNS, "sampling_rate": "rate"}
    root = parquet(tmp_path, row(0, rate=16000), row(1, rate=8000), columns=columns)
    (entry,) = prepare(root).rejected
    assert entry.reason == "sampling rate: the table says 8000 Hz, the recording 16000 Hz"
    trees.write_audio(root / "x.wav")
    tables.write_csv(root / "test.csv", [{"audio": "x.wav", "text": "a", "rate": "44100.0"}])
    (root / "test.parquet").unlink()
    (entry,) = prepare(root).rejected
    assert entry.reason == "sampling rate: the table says 44100 Hz, the recording 16000 Hz"


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_table_is_an_error_that_names_it_and_leaves_no_index(tmp_path, ending, share):
    write = {"parquet": tables.write_parquet, "arrow": tables.write_arrow}[ending]
    tables.write_map(tmp_path, columns=COLUMNS, language="en")
    path = write(tmp_path / f"test.{ending}", [row(n) for n in range(6)])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=rf"test\.{ending} is damaged or was cut short"):
        prepare(tmp_path)
    assert not (tmp_path / "work" / path.name).exists()
    path.write_bytes(content)
    assert len(prepare(tmp_path).records) == 6


@pytest.mark.parametrize("end", [-3, 1 << 30])
def test_values_that_lead_out_of_their_file_are_damage(tmp_path, end):
    tables.write_map(tmp_path, columns=COLUMNS, language="en")
    listed = [row(n, text="hello") for n in range(2)]
    path = tables.write_arrow(tmp_path / "test.arrow", listed)
    where = struct.pack("<iii", 0, 5, 10)  # where each text begins
    assert path.read_bytes().count(where) == 1
    path.write_bytes(path.read_bytes().replace(where, struct.pack("<iii", 0, end, 10)))
    with pytest.raises(UserError, match=r"test\.arrow is damaged or was cut short"):
        prepare(tmp_path)


def test_a_truncated_gzip_and_a_cut_line_of_json(tmp_path):
    trees.write_audio(tmp_path / "x.wav")
    tables.write_map(tmp_path, columns=COLUMNS, language="en")
    listed = [{"audio": "x.wav", "text": f"words {n}"} for n in range(9)]
    path = tables.write_jsonl(tmp_path / "test.jsonl.gz", listed)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match=r"jsonl\.gz is damaged or was cut short"):
        prepare(tmp_path)
    path.unlink()
    path = tables.write_jsonl(tmp_path / "test.jsonl", listed[:1])
    path.write_text(path.read_text() + '{"audio": "y.w\n[1]\n')
    assert by_category(prepare(tmp_path).rejected) == {"not JSON": 2}
    path.write_text('[{"audio": "x.wav"}]')
    with pytest.raises(
        UserError, match=r"test\.jsonl:1: expected an object per line, got one list"
    ):
        prepare(tmp_path)


def test_ids_that_come_again_in_another_shard_are_listed_unless_all_is_the_same(tmp_path):
    columns = {**COLUMNS, "id": "n"}
    parquet(tmp_path, row(1, n=1), row(2, n=2), columns=columns, name="test-0.parquet")
    parquet(tmp_path, row(1, n=1), row(3, n=2), columns=columns, name="test-1.parquet")
    prepared = prepare(tmp_path)
    assert [record.text for record in prepared.records] == ["sentence 1", "sentence 2"]
    assert prepared.notes == {"identical duplicate rows": 1}
    (entry,) = prepared.rejected
    assert entry.where == f"{tmp_path}/test-1.parquet:2"
    assert entry.reason == f"duplicate id: 2 is {tmp_path}/test-0.parquet:2 too"


def test_one_name_in_one_shard_writes_over_nothing(tmp_path):
    other = row(2, audio={"bytes": tables.encoded(2), "path": "c1.wav"})
    prepared = prepare(parquet(tmp_path, row(1), other))
    (record,) = prepared.records
    assert Path(record.audio).read_bytes() == tables.encoded(1)
    assert by_category(prepared.rejected) == {"duplicate id": 1}


def test_shards_without_ids_or_paths_number_their_rows(tmp_path):
    tables.write_map(tmp_path, columns=COLUMNS, language="en", splits={"test": "*/test/*.parquet"})
    for half in ("clean", "other"):
        listed = [{"audio": tables.encoded(n), "text": f"{half} {n}"} for n in range(2)]
        tables.write_parquet(tmp_path / half / "test/0000.parquet", listed)
    prepared = prepare(tmp_path)
    assert len(prepared.records) == 4
    assert not prepared.rejected
    assert prepared.records[0].utt_id == "table-en-test-clean_test_0000.parquet-1"


def test_names_lead_nowhere_and_are_not_too_long(tmp_path):
    ids = ["../../x", "a/b", "n" * 200, "two words", "..", ""]
    root = parquet(
        tmp_path, *(row(n, id=each) for n, each in enumerate(ids)), columns={**COLUMNS, "id": "id"}
    )
    prepared = prepare(root)
    assert by_category(prepared.rejected) == {"id is too long": 1}
    assert len(prepared.records) == 5
    for record in prepared.records:
        assert Path(record.audio).resolve().parent == (root / "work/test.parquet").resolve()


def test_links_and_paths_that_no_table_can_hold_are_listed(tmp_path):
    paths = ["https://x.org/a.wav", " x.wav", "a\nb.wav", "x.wav"]
    trees.write_audio(tmp_path / "x.wav")
    tables.write_map(tmp_path, columns=COLUMNS, language="en")
    listed = [{"audio": path, "text": "a"} for path in paths]
    tables.write_jsonl(tmp_path / "test.jsonl", listed)
    prepared = prepare(tmp_path)
    assert len(prepared.records) == 1
    assert by_category(prepared.rejected) == {
        "audio is a link": 1,
        "path with white space at an end, or what cannot be printed": 2,
    }


def test_half_a_character_is_listed(tmp_path):
    trees.write_audio(tmp_path / "x.wav")
    tables.write_map(tmp_path, columns=COLUMNS, language="en")
    good = '{"audio": "x.wav", "text": "a"}\n'
    (tmp_path / "test.jsonl").write_text(good + good.replace('"a"', '"\\ud800"'))
    prepared = prepare(tmp_path)
    assert len(prepared.records) == 1
    assert by_category(prepared.rejected) == {"not Unicode": 1}


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_audio_that_no_decoder_opens_is_listed_and_nothing_else_is_lost(tmp_path, ending):
    root = tmp_path / "in"
    tables.write_map(root, columns=COLUMNS, language="en")
    contents = {f"c{n}.wav": tables.encoded(n) for n in range(9)} | {"c9.wav": b"no sound at all"}
    listed = [
        {"audio": {"bytes": content, "path": name}, "text": "a b"}
        for name, content in contents.items()
    ]
    if ending == "parquet":
        tables.write_parquet(root / "test.parquet", listed)
    else:
        tables.write_jsonl(root / "test.jsonl", [{"audio": name, "text": "a"} for name in contents])
        for name, content in contents.items():
            (root / name).write_bytes(content)
    options = ["--corpus", "table", "--root", str(root), "--languages", "en", "--splits", "test"]
    prepare_data.main([*options, "--output", str(tmp_path / "data")])
    target = tmp_path / "out"
    source = str(tmp_path / "data/table_test")
    format_audio.main(["--input", source, "--output", str(target), "--nj", "1"])
    (line,) = (target / "rejected.tsv").read_text().splitlines()
    assert line.startswith("table-en-test-c9\tunreadable: ")
    assert len((target / "wav.scp").read_text().splitlines()) == 9


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    tables.write_map(tmp_path, columns=COLUMNS, language="en")
    (tmp_path / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"pip install 'espnet_otreg\[tables\]'"):
        prepare(tmp_path)
