"""Tables of one's own, in every form: what is read of them, and where."""

from pathlib import Path

import pytest
import soundfile

from espnet_otreg.corpora import table
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from espnet_otreg.recipe.stamps import Stamps
from espnet_otreg.stages import format_audio, prepare_data
from tests.support import corpus_trees as trees
from tests.support import table_trees as tables

PLAIN = {"audio": "audio", "text": "text"}


def prepare(root, split="test", language="en", **options):
    return table.prepare(root, language, split, root.parent / "work", **options)


def said(prepared):
    return [(record.utt_id, record.text) for record in prepared.records]


def rows(*numbers):
    return [
        {"audio": {"bytes": tables.encoded(n), "path": f"c{n}.wav"}, "text": f"sentence {n}"}
        for n in numbers
    ]


def test_parquet_with_recordings_inside_becomes_files_once(tmp_path):
    root = tmp_path / "in"
    tables.write_map(root, columns=PLAIN, language="en")
    shards = [root / f"data/test-0000{n}-of-00002.parquet" for n in range(2)]
    for n, shard in enumerate(shards):
        tables.write_parquet(shard, rows(3 * n, 3 * n + 1, 3 * n + 2), row_group_size=2)
    prepared = prepare(root)
    assert said(prepared) == [(f"table-en-test-c{n}", f"sentence {n}") for n in range(6)]
    for n, record in enumerate(prepared.records):
        assert Path(record.audio).read_bytes() == tables.encoded(n)
    first = Path(prepared.records[0].audio)
    first.write_bytes(b"still there")
    assert prepare(root) == prepared
    assert first.read_bytes() == b"still there"
    tables.write_parquet(shards[0], rows(7))  # replaced: made anew, and nothing of before is left
    assert said(prepare(root))[0] == ("table-en-test-c7", "sentence 7")
    assert not first.exists()


def test_an_unpacking_that_was_interrupted_goes_on(tmp_path, monkeypatch):
    root = tmp_path / "in"
    tables.write_map(root, columns=PLAIN, language="en")
    tables.write_parquet(root / "test.parquet", rows(*range(5)))
    real, calls = table.read_clips.__globals__["writing"], []

    def writing(path, mode="w"):
        calls.append(path.name)
        if calls.count("c3.wav") == 1 and path.name == "c3.wav":
            raise KeyboardInterrupt
        return real(path, mode)

    monkeypatch.setitem(table.read_clips.__globals__, "writing", writing)
    with pytest.raises(KeyboardInterrupt):
        prepare(root)
    assert not (tmp_path / "work/test.parquet").exists()
    assert len(said(prepare(root))) == 5
    assert calls.count("c0.wav") == 1  # of the first try
    assert not list((tmp_path / "work").glob("*.partial"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_folder_that_datasets_saved_is_read(tmp_path, stream):
    root = tmp_path / "in"
    tables.write_map(root, columns=PLAIN, language="en")
    for split, numbers in {"train": (0, 1, 2), "validation": (3,), "test": (4,)}.items():
        tables.write_arrow(root / split / "data-00000-of-00001.arrow", rows(*numbers), stream)
        tables.write_arrow(root / split / "cache-0123.arrow", rows(8), stream)  # of a `map`
    for split, count in {"train": 3, "dev": 1, "test": 1}.items():
        assert len(prepare(root, split).records) == count
    assert table.languages(root) == ["en"]


MANIFESTS = {
    "nemo": {"audio_filepath": "a/x.wav", "duration": 0.2, "text": "hello", "lang": "en"},
    "slam_llm": {"key": "x", "source": "a/x.wav", "target": "hello"},
    "ultravox": {"id": "x", "audio": "a/x.wav", "sentence": "hello"},
}


@pytest.mark.parametrize("preset", MANIFESTS)
def test_manifests_of_other_toolkits_are_read(tmp_path, preset):
    clip = trees.write_audio(tmp_path / "in/a/x.wav")
    tables.write_map(tmp_path / "in", preset=preset, language="en")
    tables.write_jsonl(tmp_path / "in/test.jsonl", [MANIFESTS[preset]])
    (record,) = prepare(tmp_path / "in").records
    assert (record.utt_id, record.text, Path(record.audio)) == ("table-en-test-x", "hello", clip)


@pytest.mark.parametrize("name", ["test.jsonl", "test.jsonl.gz", "test.parquet"])
def test_paths_start_at_the_table_or_at_audio_root(tmp_path, name):
    trees.write_audio(tmp_path / "elsewhere/x.wav")
    write = tables.write_parquet if name.endswith("parquet") else tables.write_jsonl
    write(tmp_path / "in" / name, [{"audio": "x.wav", "text": "hello"}])
    tables.write_map(tmp_path / "in", columns=PLAIN, language="en")
    with pytest.raises(UserError, match=r"none of 1 recordings .*in/x\.wav: say `audio_root:`"):
        prepare(tmp_path / "in")
    tables.write_map(tmp_path / "in", columns=PLAIN, language="en", audio_root="../elsewhere")
    assert len(prepare(tmp_path / "in").records) == 1


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_csv_is_read_with_its_quotes_and_a_split_column(tmp_path, delimiter):
    trees.write_audio(tmp_path / "in/x.wav")
    listed = [
        {"file": "x.wav", "words": 'said "a, b; c|d"', "part": "validation", "who": "s 1"},
        {"file": "y.wav", "words": "other", "part": "train", "who": ""},
    ]
    tables.write_csv(tmp_path / "in/all.csv", listed, delimiter)
    columns = {"audio": "file", "text": "words", "split": "part", "speaker": "who"}
    tables.write_map(tmp_path / "in", columns=columns, files="*.csv", language="en")
    prepared = prepare(tmp_path / "in", "dev")
    assert said(prepared) == [("table-en-dev-x", 'said "a, b; c|d"')]
    assert prepared.records[0].speaker == "s_1"
    assert prepared.notes == {"rows of split 'train'": 1}
    with pytest.raises(UserError, match=r"no row of .* but 1 of split 'validation', 1 of split"):
        prepare(tmp_path / "in", "test")


def test_tsv_is_read_without_quotes(tmp_path):
    trees.write_audio(tmp_path / "in/x.wav")
    lines = [("audio", "text"), ("x.wav", 'a "b'), ("x.wav", "b", "c")]
    trees.write_table(tmp_path / "in/test.tsv", lines)
    tables.write_map(tmp_path / "in", columns=PLAIN, language="en")
    prepared = prepare(tmp_path / "in")
    assert said(prepared) == [("table-en-test-x", 'a "b')]
    assert by_category(prepared.rejected) == {"wrong number of columns": 1}


def test_lhotse_cuts_are_read_and_parts_of_recordings_cut_out(tmp_path):
    root = tmp_path / "in"
    clip = trees.write_audio(root / "x.wav")
    wrong = tables.cut("d", "x.wav", "d")
    listed = [
        tables.cut("a", "x.wav", "whole"),
        tables.cut("b", "x.wav", "part", 0.05, 0.1),
        {**tables.cut("c", "x.wav", "c"), "supervisions": []},
        {**wrong, "recording": {**wrong["recording"], "sources": [{"type": "url", "source": ""}]}},
    ]
    tables.write_jsonl(root / "cuts_test.jsonl.gz", listed)
    tables.write_map(root, preset="lhotse", splits={"test": "cuts_test.jsonl.gz"})
    prepared = prepare(root)
    assert [record.audio for record in prepared.records] == [str(clip), f"{clip}#t=0.05,0.15"]
    assert by_category(prepared.rejected) == {
        "not one sentence of one recording": 1,
        "audio is no file": 1,
    }
    options = ["--corpus", "table", "--root", str(root), "--output", str(tmp_path / "data")]
    options += ["--languages", "all", "--splits", "test", "--max_rejected", "0.5"]
    prepare_data.main(options)
    data, out = str(tmp_path / "data/table_test"), tmp_path / "out"
    format_audio.main(["--input", data, "--output", str(out), "--nj", "1"])
    made = DataDir.load(out).tables
    lengths = {utt[-1]: int(value) for utt, value in made["utt2num_samples"].items()}
    assert lengths == {"a": 3200, "b": 1600}
    whole, _ = soundfile.read(clip, dtype="int16")
    part, _ = soundfile.read(made["wav.scp"]["table-en-test-b"], dtype="int16")
    assert (part == whole[800:2400]).all()


def test_a_part_beyond_the_end_of_its_recording_is_listed(tmp_path):
    root = tmp_path / "in"
    trees.write_audio(root / "x.wav")
    entry = {"audio_filepath": "x.wav", "text": "a", "lang": "en"}
    parts = [{"offset": 0.1, "duration": 0.1}, {"offset": 0.1, "duration": 9}, {"offset": "x"}]
    listed = [{**entry, "id": f"u{n}", **part} for n, part in enumerate(parts)]
    tables.write_jsonl(root / "test.json", listed)
    tables.write_map(root, preset="nemo")
    prepared = prepare(root)
    assert by_category(prepared.rejected) == {"not an offset and a duration in seconds": 1}
    clips = {record.utt_id: record.audio for record in prepared.records}
    source = trees.data_dir(tmp_path / "data", clips)
    options = ["--input", str(source), "--output", str(tmp_path / "out"), "--nj", "1"]
    format_audio.main([*options, "--max_rejected", "0.5"])
    (line,) = (tmp_path / "out/rejected.tsv").read_text().splitlines()
    assert line.startswith("table-en-test-u1\ttoo short: ")


def test_languages_come_from_a_column_or_from_folders(tmp_path):
    by_column, by_folder = tmp_path / "a", tmp_path / "b"
    trees.write_audio(by_column / "x.wav")
    listed = [{"audio": "x.wav", "text": code, "id": code, "l": code} for code in ("english", "fr")]
    tables.write_jsonl(by_column / "test.jsonl", [*listed, {**listed[0], "l": None, "id": "z"}])
    columns = {**PLAIN, "language": "l", "id": "id"}
    tables.write_map(by_column, columns=columns, languages={"english": "en"})
    assert table.languages(by_column) == ["en", "fr"]
    prepared = prepare(by_column)
    assert said(prepared) == [("table-en-test-english", "english")]
    assert by_category(prepared.rejected) == {"no language": 1}
    for code in ("de", "fr"):
        trees.write_audio(by_folder / code / "x.wav")
        tables.write_jsonl(by_folder / code / "test.jsonl", [{"audio": "x.wav", "text": code}])
    tables.write_map(by_folder, columns=PLAIN)
    assert table.languages(by_folder) == ["de", "fr"]
    assert said(prepare(by_folder, language="fr")) == [("table-fr-test-x", "fr")]


def test_translations_are_kept_with_their_language(tmp_path):
    root = tmp_path / "in"
    base = {"audio": "x.wav", "text": "a"}
    trees.write_audio(root / "x.wav")
    listed = [{**base, "id": "a", "tr": "b"}, {**base, "id": "c", "tr": ""}]
    tables.write_jsonl(root / "test.jsonl", listed)
    columns = {**PLAIN, "translation": "tr", "id": "id"}
    tables.write_map(root, columns=columns, language="en", target="de")
    found = [(r.translation, r.target) for r in prepare(root).records]
    assert found == [("b", "de"), (None, None)]
    assert by_category(prepare(root, target="fr").rejected) == {"no translation": 1}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"preset": "x"}, "unknown preset 'x'; expected one of fleurs"),
        ({"colums": {}}, "unknown key 'colums'; expected preset"),
        ({"columns": {"audio": "a"}}, "columns: text must be named, or a preset"),
        ({"columns": {"audio": "a", "txt": "t"}}, "columns: unknown 'txt'; of audio"),
        ({"preset": "nemo", "format": "xlsx"}, "format 'xlsx': expected parquet"),
        ({"preset": "nemo", "language": 3}, "language is 3; expected a text"),
        ({"preset": "nemo", "files": "*", "splits": {"test": "x"}}, "give splits or files"),
        ({"preset": "nemo", "splits": {"test": "/etc/*"}}, "is no pattern of files below"),
        ({"preset": "nemo"}, r"no file for 'en' test; looked for en/test-\*\.parquet"),
    ],
)
def test_a_map_that_cannot_be_followed_says_what_is_wrong(tmp_path, keys, told):
    tables.write_map(tmp_path, **keys)
    with pytest.raises(UserError, match=told):
        prepare(tmp_path)


def test_without_a_map_the_presets_are_named_and_it_may_lie_beside(tmp_path):
    root = tmp_path / "in"
    trees.write_audio(root / "x.wav")
    tables.write_jsonl(root / "test.jsonl", [{"audio_filepath": "x.wav", "text": "a"}])
    with pytest.raises(UserError, match=r"table\.yaml is missing.*`preset: NAME`, of fleurs"):
        prepare(root)
    (tmp_path / "in.yaml").write_text("preset: nemo\nlanguage: en\n")
    assert len(prepare(root).records) == 1
    before = Stamps(tmp_path / "stamps").corpus(str(root)).stamp
    (tmp_path / "in.yaml").write_text("preset: nemo\nlanguage: fr\n")
    assert Stamps(tmp_path / "stamps").corpus(str(root)).stamp != before
