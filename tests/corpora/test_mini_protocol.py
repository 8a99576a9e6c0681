"""The mini corpora that complete the published protocol: LibriSpeech and Common Voice."""

import csv
import json

import pytest

from espnet_otreg.files import read_table
from espnet_otreg.mini import build as mini
from espnet_otreg.mini import layouts
from espnet_otreg.mini.domains import DOMAINS, PROTOCOL, SIZES
from espnet_otreg.stages import make_mini, prepare_data

NAMES = tuple(PROTOCOL)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    output = tmp_path_factory.mktemp("protocol")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "smoke", dict.fromkeys(NAMES, (4, 2, 4)))
        summary = mini.build(output, mini.Request("smoke", ("en", "es"), NAMES, 0), 1)
    assert summary.clips == 30  # LibriSpeech in English alone
    return output


def times(folder, corpus):
    with open(folder / "word_times.jsonl", encoding="utf-8") as stream:
        return [record for record in map(json.loads, stream) if record["corpus"] == corpus]


@pytest.mark.parametrize("corpus", NAMES)
def test_stage_1_reads_every_clip_and_its_id_leads_to_the_word_times(made, tmp_path, corpus):
    options = ["--corpus", corpus, "--root", str(made), "--output", str(tmp_path)]
    prepare_data.main([*options, "--languages", "all"])
    for split in ("train", "dev", "test"):
        folder = tmp_path / f"{corpus}_{split}"
        spoken = {
            f"{corpus}-{record['lang']}-{split}-{record['clip']}": " ".join(
                word for word, _, _ in record["words"]
            )
            for record in times(made, corpus)
            if record["split"] == split
        }
        assert read_table(folder / "text") == spoken
        assert not (folder / "rejected.tsv").read_text()


def test_librispeech_has_its_parts_its_upper_case_and_its_ids(made):
    home = made / "LibriSpeech"
    assert {path.name for path in home.iterdir()} == {
        *("train-clean-100", "train-other-500", "dev-clean", "dev-other"),
        *("test-clean", "test-other"),
    }
    for table in home.rglob("*.trans.txt"):
        reader, chapter = table.parent.parent.name, table.parent.name
        assert table.name == f"{reader}-{chapter}.trans.txt"
        for line in table.read_text().splitlines():
            clip, _, text = line.partition(" ")
            assert clip.startswith(f"{reader}-{chapter}-")
            assert text == text.upper()
            assert (table.parent / f"{clip}.flac").is_file()


def test_common_voice_is_a_release_with_inserted_columns(made):
    folder = made / layouts.RELEASES["commonvoice"] / "es"
    with open(folder / "test.tsv", encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
    assert header[:4] == ["client_id", "path", "sentence_id", "sentence"]
    assert {len(row) for row in rows} == {len(header)}
    for row in rows:
        assert (folder / "clips" / row[1]).is_file()
        assert row[3][0].isupper()


def test_nobody_and_nothing_has_a_name_that_a_sister_corpus_uses():
    most = SIZES["large"]
    readers = {
        corpus: {
            layouts.clip_name(corpus, "en", "test", 0, number).replace("-", "_").split("_")[0]
            for number in range(sum(domain.speakers))
        }
        for corpus, domain in {"librispeech": PROTOCOL["librispeech"], **DOMAINS}.items()
        if corpus in ("librispeech", "read")
    }
    assert not readers["librispeech"] & readers["read"]
    clips = [
        {
            layouts.clip_name(corpus, "en", split, index, 0)
            for split, count in zip(("train", "dev", "test"), most[corpus], strict=True)
            for index in range(count)
        }
        for corpus in ("covost2", "commonvoice")
    ]
    assert not clips[0] & clips[1]


def test_a_corpus_in_none_of_the_languages_is_an_error(tmp_path):
    options = ["--output", str(tmp_path / "new"), "--corpora", "librispeech"]
    with pytest.raises(SystemExit, match="librispeech is in en alone, and --languages is 'es fr'"):
        make_mini.main([*options, "--languages", "es fr"])
