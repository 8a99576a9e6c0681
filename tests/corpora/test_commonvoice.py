from pathlib import Path

import pytest

from espnet_otreg.corpora import clip_tables, commonvoice, covost2
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


RELEASE = "cv-corpus-23.0-2025-09-05"


def unpacked(root, language, rows=None):
    """An archive as Mozilla's client leaves it."""
    home = root / f"{RELEASE}-{language}" / RELEASE / language
    rows = [row(f"common_voice_{language}_1.mp3")] if rows is None else rows
    trees.write_table(home / "test.tsv", [trees.VALIDATED, *rows])
    for each in rows:
        trees.write_audio(home / "clips" / each[1], format="MP3")
    return home


def test_archives_side_by_side_as_mozillas_client_unpacks_them_are_read(tmp_path):
    home = unpacked(tmp_path, "en")
    unpacked(tmp_path, "fr")
    assert commonvoice.languages(tmp_path) == ["en", "fr"]
    (record,) = prepare(tmp_path).records
    assert record.audio == str(home / "clips/common_voice_en_1.mp3")
    for release in (RELEASE, f"{RELEASE}-en"):
        assert prepare(tmp_path, release=release).records == [record]
    assert commonvoice.languages(tmp_path, release=f"{RELEASE}-fr") == ["fr"]


def test_one_release_unpacked_twice_is_an_error_that_lists_both_places(tmp_path):
    unpacked(tmp_path, "en")
    table(tmp_path, [row("a.mp3")], RELEASE)
    with pytest.raises(UserError, match=rf"'en': {RELEASE}-en/{RELEASE}, {RELEASE}\. Choose"):
        prepare(tmp_path)
    assert len(prepare(tmp_path, release=f"{RELEASE}-en").records) == 1


@pytest.mark.parametrize("folder", ["clips", "clips_16k"])
@pytest.mark.parametrize("ending", ["wav", "flac", "opus"])
@pytest.mark.parametrize("named", ["a.mp3", "a"])
def test_a_clip_is_found_by_its_stem_in_other_formats_and_folders(tmp_path, folder, ending, named):
    home = tmp_path / RELEASE / "en"
    kind = {"format": "OGG", "subtype": "OPUS"} if ending == "opus" else {}
    clip = trees.write_audio(home / folder / f"a.{ending}", **kind)
    trees.write_table(home / "test.tsv", [trees.VALIDATED, row(named), row("b.mp3")])
    prepared = prepare(tmp_path)
    (record,) = prepared.records
    assert (record.utt_id, Path(record.audio)) == ("commonvoice-en-test-a", clip)
    (lost,) = prepared.rejected
    assert lost.reason == f"missing clip: {home / folder / 'b.mp3'}"


def test_the_clip_as_it_was_released_counts_more_than_a_copy(tmp_path):
    home = unpacked(tmp_path, "en", [row("a.mp3")])
    for copy in ("clips/a.wav", "clips_16k/a.wav", "clips_16k/a.mp3"):
        trees.write_audio(home / copy, **({"format": "MP3"} if copy.endswith("mp3") else {}))
    (record,) = prepare(tmp_path).records
    assert Path(record.audio) == home / "clips/a.mp3"


def test_spontaneous_speech_is_refused_by_name(tmp_path):
    folder = tmp_path / "sps-corpus-3.0-en" / "sps-corpus-3.0-2026-03-09-en"
    trees.write_table(folder / "ss-corpus-en.tsv", [("client_id", "audio_file")])
    with pytest.raises(UserError, match=r"ss-corpus-en\.tsv is spontaneous speech.*corpus `table`"):
        prepare(tmp_path)
    unpacked(tmp_path, "en")
    assert len(prepare(tmp_path).records) == 1  # read sentences beside it are read


def test_folders_that_nobody_may_enter_and_folders_of_clips_are_passed_over(tmp_path, monkeypatch):
    home = unpacked(tmp_path, "en")
    (tmp_path / "lost+found").mkdir()
    looked, real = [], clip_tables.os.scandir

    def scandir(path):
        looked.append(str(path))
        if str(path).endswith("lost+found"):
            raise PermissionError(path)
        return real(path)

    monkeypatch.setattr(clip_tables.os, "scandir", scandir)
    assert len(prepare(tmp_path).records) == 1
    assert str(tmp_path / "lost+found") in looked
    assert not [path for path in looked if path.startswith(str(home))]
