import logging
import tarfile
from pathlib import Path

import pytest

from espnet_otreg.corpora import archive, fleurs
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from tests.support import corpus_trees as trees


def prepare(root, language="en", split="test", **options):
    return fleurs.prepare(root, language, split, root / "work", **options)


ROWS = [trees.fleurs_row("11.wav", "one"), trees.fleurs_row("12.wav", "one")]


def archive_of(root):
    return root / "data" / "en_us" / "audio" / "test.tar.gz"


def test_every_utterance_is_its_own_speaker_and_audio_is_unpacked(tmp_path):
    records = prepare(trees.fleurs(tmp_path, ROWS)).records
    assert [record.utt_id for record in records] == ["fleurs-en-test-11", "fleurs-en-test-12"]
    assert all(record.speaker == record.utt_id for record in records)
    assert all(Path(record.audio).read_bytes() == trees.wav_bytes() for record in records)


def test_a_table_of_speakers_says_who_speaks(tmp_path):
    root = trees.fleurs(tmp_path, ROWS)
    table = root / "data/en_us/speakers.tsv"
    table.write_text("11.wav\tanna\n12.wav\tanna\n99.wav\tpaul\n")
    records = prepare(root).records
    assert [record.utt_id for record in records] == ["fleurs-en-test-11", "fleurs-en-test-12"]
    assert [record.speaker for record in records] == ["anna", "anna"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("11.wav\tanna\n", "names no speaker of 1 recordings, first 12.wav"),
        ("11.wav\tanna\n12.wav\n", "line 2: expected a wav name"),
        ("11.wav\tanna\n11.wav\tpaul\n", "line 2: expected a wav name"),
        ("11.wav\tan na\n", "line 1: expected a wav name"),
    ],
)
def test_a_table_of_speakers_that_leaves_doubt_is_refused(tmp_path, table, message):
    root = trees.fleurs(tmp_path, ROWS)
    (root / "data/en_us/speakers.tsv").write_text(table)
    with pytest.raises(UserError, match=message):
        prepare(root)


def test_raw_or_normalised_text(tmp_path):
    root = trees.fleurs(tmp_path, ROWS)
    assert prepare(root).records[0].text == "one"
    assert prepare(root, text_column="raw").records[0].text == "One"
    with pytest.raises(UserError, match="raw or normalised"):
        prepare(root, text_column="cooked")


@pytest.mark.parametrize(
    ("asked", "code", "label"),
    [("es", "es_419", "es"), ("es_419", "es_419", "es"), ("zh-CN", "cmn_hans_cn", "zh-CN")],
)
def test_short_and_full_codes_find_the_folder(tmp_path, asked, code, label):
    root = trees.fleurs(tmp_path, ROWS, code)
    assert {record.language for record in prepare(root, asked).records} == {label}


def test_root_may_be_the_folder_above(tmp_path):
    trees.fleurs(tmp_path / "fleurs", ROWS)
    assert len(prepare(tmp_path).records) == 2


def test_an_absent_language_says_where_and_what_is_present(tmp_path):
    trees.fleurs(tmp_path, ROWS)
    with pytest.raises(UserError, match=r"(?s)folder of 'xx' not found.*FLEURS.*en_us"):
        prepare(tmp_path, "xx")


def test_a_language_that_could_be_two_folders_asks_for_one(tmp_path):
    trees.fleurs(tmp_path, ROWS)
    trees.fleurs(tmp_path, ROWS, "en_gb")
    with pytest.raises(UserError, match="en_gb, en_us"):
        prepare(tmp_path)


@pytest.mark.parametrize("asked", ["en_gb", "en-GB", "es_es"])
def test_a_region_that_is_absent_is_not_replaced_by_another(tmp_path, asked):
    for code in ("en_us", "es_419"):
        trees.fleurs(tmp_path, ROWS, code)
    code = asked.replace("-", "_").lower()
    looked = rf"(?s)folder of '{asked}' not found.*data/{code}\n.*present: en_us es_419"
    with pytest.raises(UserError, match=looked):
        prepare(tmp_path, asked)
    assert prepare(tmp_path, "es").records[0].utt_id == "fleurs-es-test-11"


def test_unpacked_audio_is_used_as_it_lies(tmp_path):
    root = trees.fleurs(tmp_path, ROWS)
    archive_of(root).unlink()
    trees.write_audio(root / "data" / "en_us" / "audio" / "test" / "11.wav")
    prepared = prepare(root)
    assert [record.utt_id for record in prepared.records] == ["fleurs-en-test-11"]
    assert by_category(prepared.rejected) == {"missing clip": 1}


def test_a_folder_that_lacks_recordings_gives_way_to_the_archive(tmp_path, caplog):
    root = trees.fleurs(tmp_path, ROWS)
    partial = trees.write_audio(root / "data/en_us/audio/test/11.wav")
    with caplog.at_level(logging.WARNING):
        prepared = prepare(root)
    assert [Path(record.audio).read_bytes() for record in prepared.records] == [
        trees.wav_bytes()
    ] * 2
    assert not prepared.rejected
    assert f"{partial.parent} lacks 1 of 2 recordings, such as 12.wav" in caplog.text
    assert str(archive_of(root)) in caplog.text
    trees.write_audio(partial.with_name("12.wav"))
    folders = {Path(record.audio).parent for record in prepare(root).records}
    assert folders == {partial.parent}  # whole, it is used as it lies


def test_recordings_that_the_table_leaves_out_are_counted(tmp_path):
    root = trees.fleurs(tmp_path, ROWS)
    members = {f"test/{name}.wav": trees.wav_bytes() for name in (11, 12, 13, 14)}
    trees.write_tar(archive_of(root), members)
    rows = [*ROWS, ("1", "14.wav", "too few")]  # whose recording is listed with its line
    trees.write_table(root / "data/en_us/test.tsv", rows)
    prepared = prepare(root)
    assert len(prepared.records) == 2
    assert prepared.notes == {"recordings that are not in the table": 1}
    assert by_category(prepared.rejected) == {"wrong number of columns": 1}


def test_bad_rows_are_listed(tmp_path):
    rows = [
        *(ROWS[0], ROWS[0], ROWS[1]),
        trees.fleurs_row("12.wav", "two"),
        trees.fleurs_row("13.wav", " "),
        ("1", "14.wav", "too few"),
        trees.fleurs_row("15.wav", 'NA "'),
    ]
    prepared = prepare(trees.fleurs(tmp_path, rows))
    assert [record.text for record in prepared.records] == ["one", 'NA "']
    assert prepared.notes == {"identical duplicate rows": 1}
    counts = by_category(prepared.rejected)
    assert counts == {"conflicting duplicate": 1, "empty sentence": 1, "wrong number of columns": 1}
    assert any(entry.where.endswith("test.tsv:6") for entry in prepared.rejected)


def test_a_second_run_does_not_unpack_again(tmp_path, monkeypatch):
    root = trees.fleurs(tmp_path, ROWS)
    prepare(root)
    monkeypatch.setattr(archive, "_copy_members", lambda *_: pytest.fail("unpacked twice"))
    assert len(prepare(root).records) == 2


def test_a_replaced_archive_is_unpacked_anew(tmp_path):
    root = trees.fleurs(tmp_path, ROWS)
    prepare(root)
    trees.write_tar(archive_of(root), {"test/11.wav": trees.wav_bytes(0.5)})
    prepared = prepare(root)
    assert [record.utt_id for record in prepared.records] == ["fleurs-en-test-11"]
    assert Path(prepared.records[0].audio).read_bytes() == trees.wav_bytes(0.5)


def test_an_interrupted_unpacking_goes_on_without_writing_again(tmp_path, monkeypatch):
    root = trees.fleurs(tmp_path, ROWS)
    whole = archive.writing
    names = []

    def fail_at_second(path, mode):
        names.append(path.name)
        if len(names) == 2:
            raise OSError(28, "No space left on device")
        return whole(path, mode)

    monkeypatch.setattr(archive, "writing", fail_at_second)
    with pytest.raises(OSError, match="No space"):
        prepare(root)
    assert not (root / "work" / "en_us" / "test").exists()
    assert len(prepare(root).records) == 2
    assert names == ["11.wav", "12.wav", "12.wav"]


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_archive_is_a_clear_error(tmp_path, share):
    root = trees.fleurs(tmp_path, ROWS)
    content = archive_of(root).read_bytes()
    archive_of(root).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"test.tar.gz is damaged or was cut short"):
        prepare(root)
    assert not (root / "work" / "en_us" / "test").exists()


def test_an_archive_that_is_none_is_a_clear_error(tmp_path):
    root = trees.fleurs(tmp_path, ROWS)
    archive_of(root).write_text("<html>not found</html>")
    with pytest.raises(UserError, match="damaged or was cut short"):
        prepare(root)


@pytest.mark.parametrize("name", ["../11.wav", "test/../../11.wav", "/tmp/11.wav"])
def test_members_that_point_outside_are_refused(tmp_path, name):
    root = trees.fleurs(tmp_path, ROWS)
    trees.write_tar(archive_of(root), {name: b"x"})
    with pytest.raises(UserError, match="points outside"):
        prepare(root)
    assert not list(tmp_path.parent.glob("11.wav"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    root = trees.fleurs(tmp_path, ROWS)
    link = tarfile.TarInfo("test/11.wav")
    link.type, link.linkname = kind, "/etc/passwd"
    trees.write_tar(archive_of(root), {}, [link])
    with pytest.raises(UserError, match="link or a device"):
        prepare(root)
