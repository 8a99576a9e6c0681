from pathlib import Path

import pytest

from espnet_otreg.corpora import mls
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from tests.support import corpus_trees as trees


def tree(root, rows, extension="flac"):
    home = root / "mls_french" / "dev"
    trees.write_table(home / "transcripts.txt", rows)
    for row in rows:
        parts = row[0].split("_")
        if len(parts) == 3:
            path = home / "audio" / parts[0] / parts[1] / f"{row[0]}.{extension}"
            opus = {"format": "OGG", "subtype": "OPUS"} if extension == "opus" else {}
            trees.write_audio(path, **opus)
    return root


def prepare(root, language="fr"):
    return mls.prepare(root, language, "dev", root / "work")


@pytest.mark.parametrize("extension", ["flac", "opus"])
def test_speakers_and_recordings_come_from_the_id(tmp_path, extension):
    (record,) = prepare(tree(tmp_path, [("12_34_000005", "l'été")], extension)).records
    assert (record.utt_id, record.speaker) == ("mls-fr-dev-12_34_000005", "mls-12")
    assert Path(record.audio).name == f"12_34_000005.{extension}"


def test_root_may_be_the_folder_above(tmp_path):
    tree(tmp_path / "mls", [("12_34_000005", "oui")])
    assert len(prepare(tmp_path).records) == 1


def test_every_line_is_used_or_listed(tmp_path):
    rows = [
        *(("1_2_3", "a"), ("1_2_3", "a"), ("1_2_4", "b"), ("1_2_4", "c")),
        *(("1_2_5", " "), ("odd", "d"), ("1_2_6", "e", "f"), ("1_2_7", "g")),
    ]
    root = tree(tmp_path, rows)
    (root / "mls_french" / "dev" / "audio" / "1" / "2" / "1_2_7.flac").unlink()
    prepared = prepare(root)
    assert [record.text for record in prepared.records] == ["a"]
    assert prepared.notes == {"identical duplicate rows": 1}
    assert by_category(prepared.rejected) == {
        "conflicting duplicate": 1,
        "empty sentence": 1,
        "not a <speaker>_<book>_<number> id": 1,
        "wrong number of columns": 1,
        "missing clip": 1,
    }


def test_a_recording_without_transcript_is_listed(tmp_path):
    rows = [("1_2_3", "a"), ("1_2_4", "b"), ("1_2_5", "c", "d"), ("1_2_6", "e")]
    root = tree(tmp_path, rows)
    table = root / "mls_french/dev/transcripts.txt"
    trees.write_table(table, rows[:1] + rows[2:3])  # cut short, with a broken line
    hidden = root / "mls_french/dev/audio/1/2/._1_2_3.flac"
    hidden.write_bytes(b"x")
    prepared = prepare(root)
    assert [record.text for record in prepared.records] == ["a"]
    assert {entry.where: entry.reason for entry in prepared.rejected} == {
        f"{table}:2": "wrong number of columns: 3 instead of 2",
        "mls-fr-dev-1_2_4": f"no transcript: 1_2_4 is not in {table}",
        "mls-fr-dev-1_2_6": f"no transcript: 1_2_6 is not in {table}",
    }


def test_of_two_formats_of_a_recording_flac_is_read_and_none_is_listed(tmp_path):
    for extension in ("opus", "flac"):
        tree(tmp_path, [("1_2_3", "a")], extension)
    prepared = prepare(tmp_path)
    assert [Path(record.audio).suffix for record in prepared.records] == [".flac"]
    assert not prepared.rejected


def test_an_absent_or_unknown_language_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"(?s)MLS 'fr' dev .*mls_french.*Set MLS in db.sh"):
        prepare(tmp_path)
    with pytest.raises(UserError, match="no language 'cy'; it has en, de"):
        prepare(tmp_path, "cy")
