from pathlib import Path

import pytest

from espnet_otreg.corpora import commonvoice, covost2
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from tests.support import corpus_trees as trees


def table(root, rows, release="cv-corpus-17.0-2024-03-15", split="test"):
    home = root / release / "en"
    trees.write_table(home / f"{split}.tsv", [trees.VALIDATED, *rows])
    for row in rows:
        trees.write_audio(home / "clips" / row[1], format="MP3")
    return root


def row(clip, text="a", speaker="s1"):
    return (speaker, clip, text, "2")


def prepare(root, split="test", **options):
    return commonvoice.prepare(root, "en", split, root / "work", **options)


def test_a_split_is_its_table_and_the_client_the_speaker(tmp_path):
    table(tmp_path, [row("a.mp3"), row("b.mp3", "b", "s2")])
    table(tmp_path, [row("c.mp3", "c")], split="train")
    assert [(r.utt_id, r.speaker, r.text) for r in prepare(tmp_path).records] == [
        ("commonvoice-en-test-a", "s1", "a"),
        ("commonvoice-en-test-b", "s2", "b"),
    ]
    assert len(prepare(tmp_path, "train").records) == 1
    with pytest.raises(UserError, match=r"table of 'en' validated not found"):
        prepare(tmp_path, "validated")


def test_of_several_releases_one_must_be_chosen(tmp_path):
    table(tmp_path, [row("a.mp3")])
    table(tmp_path, [row("b.mp3")], "cv-corpus-8.0-2022-01-19")
    with pytest.raises(UserError, match=r"17\.0.*8\.0.*--release, or set COMMONVOICE"):
        prepare(tmp_path)
    (record,) = prepare(tmp_path, release="cv-corpus-8.0-2022-01-19").records
    assert record.utt_id == "commonvoice-en-test-b"
    assert len(prepare(tmp_path / "cv-corpus-8.0-2022-01-19").records) == 1
    with pytest.raises(UserError, match=r"cv-corpus-9/en/clips"):
        prepare(tmp_path, release="cv-corpus-9")


def test_names_without_their_ending_are_found(tmp_path):
    home = table(tmp_path, [row("a.mp3")]) / "cv-corpus-17.0-2024-03-15/en"
    trees.write_table(home / "test.tsv", [trees.VALIDATED, row("a")])
    (record,) = prepare(tmp_path).records
    assert Path(record.audio) == home / "clips/a.mp3"


def test_a_clip_without_client_is_its_own_speaker_and_none_leads_out_of_the_folder(tmp_path):
    prepared = prepare(table(tmp_path, [row("a.mp3", speaker=" "), row("../x.mp3")]))
    assert [record.speaker for record in prepared.records] == ["commonvoice-a"]
    assert by_category(prepared.rejected) == {"path is not a plain file name": 1}


def test_covost2_and_common_voice_read_one_table_alike(tmp_path):
    rows = [row("a.mp3", 'x "y'), row("b.mp3", "z", "s2"), row("c.mp3", ""), row("d.mp3")]
    release = "cv-corpus-4-2019-12-10"
    table(tmp_path, [*rows, row("d.mp3", "other")], release, "validated")
    pairs = [(clip, "T", "test") for _, clip, *_ in rows]
    trees.write_table(tmp_path / "covost_v2.en_de.tsv", [trees.SPLIT, *pairs])
    ours = prepare(tmp_path, "validated")
    theirs = covost2.prepare(tmp_path, "en", "test", tmp_path)
    assert [(r.text, r.speaker, r.audio) for r in ours.records] == [
        (r.text, r.speaker, r.audio) for r in theirs.records
    ]
    assert by_category(ours.rejected) == by_category(theirs.rejected)
