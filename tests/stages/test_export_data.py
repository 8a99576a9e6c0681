"""What is exported is read back as it was, and is what other toolkits read."""

import gzip
import json
from pathlib import Path

import pytest

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.stages import export_data, format_audio, prepare_data
from tests.support import corpus_trees as trees

FORMATS = ["parquet", "nemo", "lhotse"]


@pytest.fixture(scope="module")
def formatted(tmp_path_factory):
    """Formatted sets of a translated corpus."""
    folder = tmp_path_factory.mktemp("formatted")
    for language in ("en", "fr"):
        numbered = [f"common_voice_{language}_{n}.mp3" for n in range(6)]
        sentences = [(f"s{n % 2}", clip, f"Said {n}.", "2") for n, clip in enumerate(numbered)]
        rows = [
            (clip, f"Satz {clip}", "test" if n < 4 else "dev") for n, clip in enumerate(numbered)
        ]
        trees.covost2(folder / "in", sentences, {"de": rows}, language=language)
    options = ["--corpus", "covost2", "--root", str(folder / "in"), "--languages", "all"]
    prepare_data.main([*options, "--splits", "dev", "test", "--output", str(folder / "data")])
    for name in ("covost2_dev", "covost2_test"):
        where = ["--input", str(folder / "data" / name), "--output", str(folder / "org" / name)]
        format_audio.main([*where, "--nj", "1"])
    return folder / "org"


def exported(formatted, output, form, *more):
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    for name in ("covost2_dev", "covost2_test"):
        options = ["--data", str(formatted / name), "--output", str(output), "--format", form]
        export_data.main([*options, *more])
    return output


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_exported_is_read_back_as_it_was(formatted, tmp_path, form):
    output = exported(formatted, tmp_path / "out", form, "--clips_per_file", "3")
    options = ["--corpus", "table", "--root", str(output), "--output", str(tmp_path / "data")]
    prepare_data.main([*options, "--languages", "all", "--splits", "dev", "test"])
    for split, count in {"dev": 4, "test": 8}.items():
        before = DataDir.load(formatted / f"covost2_{split}").tables
        after = DataDir.load(tmp_path / f"data/table_{split}").tables
        assert len(after["text"]) == count
        for name in ("text", "utt2spk", "utt2lang", "text.de"):
            assert after[name] == before[name]
        for utt, path in after["wav.scp"].items():
            assert Path(path).read_bytes() == Path(before["wav.scp"][utt]).read_bytes()
        assert not (tmp_path / f"data/table_{split}/rejected.tsv").read_text()


def test_parquet_comes_in_shards_that_datasets_knows_as_audio(formatted, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    output = exported(formatted, tmp_path / "out", "parquet", "--clips_per_file", "3")
    names = sorted(path.name for path in output.glob("test-*"))
    assert names == [f"test-0000{n}-of-00003.parquet" for n in range(3)]
    schema = parquet.read_schema(output / names[0])
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["audio"] == {"sampling_rate": 16000, "_type": "Audio"}


def test_manifests_name_recordings_that_are_there(formatted, tmp_path):
    nemo = exported(formatted, tmp_path / "nemo", "nemo")
    entry = json.loads((nemo / "test.jsonl").read_text().splitlines()[0])
    assert (nemo / entry["audio_filepath"]).is_file()
    assert (entry["duration"], entry["lang"]) == (0.2, "en")
    cuts = exported(formatted, tmp_path / "cuts", "lhotse")
    with gzip.open(cuts / "test.jsonl.gz", "rt") as stream:
        cut = json.loads(stream.readline())
    assert Path(cut["recording"]["sources"][0]["source"]).is_absolute()
    assert cut["recording"]["num_samples"] == 3200
    assert cut["supervisions"][0]["text"] == "said 0"


def test_exports_that_would_be_read_together_are_refused(formatted, tmp_path):
    output = exported(formatted, tmp_path / "out", "nemo")
    again = ["--data", str(formatted / "covost2_test"), "--output", str(output)]
    export_data.main([*again, "--format", "nemo"])  # the same once more is no other
    with pytest.raises(SystemExit, match=r"test\.jsonl is of another export"):
        export_data.main([*again, "--format", "lhotse"])
    with pytest.raises(SystemExit, match=r"table\.yaml is of another export.*name another"):
        export_data.main([*again, "--format", "lhotse", "--split", "more"])


def test_a_set_that_is_not_formatted_is_refused(tmp_path):
    source = trees.data_dir(tmp_path / "a_test", {"a": trees.write_audio(tmp_path / "a.wav")})
    with pytest.raises(SystemExit, match="run stages/format_audio on it first"):
        export_data.main(["--data", str(source), "--output", str(tmp_path / "out")])
