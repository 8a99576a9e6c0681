import pytest

from espnet_otreg.corpora import librispeech
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from tests.support import corpus_trees as trees


def chapter(root, part, reader, texts, number=5):
    """Write one chapter; a text of None has a recording alone."""
    folder = root / "LibriSpeech" / part / str(reader) / str(number)
    names = [f"{reader}-{number}-{index:04d}" for index in range(len(texts))]
    for name in names:
        trees.write_audio(folder / f"{name}.flac")
    rows = [(f"{name} {text}",) for name, text in zip(names, texts, strict=True) if text]
    trees.write_table(folder / f"{reader}-{number}.trans.txt", rows)
    return folder


def prepare(root, split="test", language="en"):
    return librispeech.prepare(root, language, split, root / "work")


def ids(prepared):
    return [record.utt_id for record in prepared.records]


def test_train_is_what_is_there_of_its_three_parts_and_says_which(tmp_path):
    chapter(tmp_path, "train-other-500", 20, ["C"])
    chapter(tmp_path, "train-clean-100", 10, ["A", "B"])
    prepared = prepare(tmp_path, "train")
    assert ids(prepared) == [
        f"librispeech-en-train-{clip}" for clip in ("10-5-0000", "10-5-0001", "20-5-0000")
    ]
    assert [record.speaker for record in prepared.records[1:]] == [
        "librispeech-10",
        "librispeech-20",
    ]
    assert prepared.notes == {
        "recordings of train-clean-100": 2,
        "recordings of train-other-500": 1,
    }


def test_test_is_clean_and_other_and_never_one_of_them_alone(tmp_path):
    chapter(tmp_path, "test-clean", 10, ["A"])
    with pytest.raises(UserError, match=r"(?s)test-other.*For test-clean alone, ask for that"):
        prepare(tmp_path)
    assert ids(prepare(tmp_path, "test-clean")) == ["librispeech-en-test-clean-10-5-0000"]
    chapter(tmp_path, "test-other", 20, ["B"])
    assert len(prepare(tmp_path).records) == 2


def test_root_may_be_the_corpus_folder_itself(tmp_path):
    chapter(tmp_path, "dev-clean", 10, ["A"])
    assert len(prepare(tmp_path / "LibriSpeech", "dev-clean").records) == 1


def test_every_recording_and_every_transcript_is_used_or_listed(tmp_path):
    folder = chapter(tmp_path, "test-clean", 10, ["A", None, "C"])
    with open(folder / "10-5.trans.txt", "a") as table:
        table.write("10-5-0007 no such recording\n99-5-0000 of another reader\n10-5-0002 D\n")
    bare = chapter(tmp_path, "test-clean", 11, ["A"])
    (bare / "11-5.trans.txt").unlink()
    prepared = prepare(tmp_path, "test-clean")
    assert ids(prepared) == ["librispeech-en-test-clean-10-5-0000"]
    assert by_category(prepared.rejected) == {
        "no transcript": 2,  # of a recording, and of a whole chapter
        "missing clip": 1,
        "not an id of chapter 10-5": 1,
        "conflicting duplicate": 1,
    }


def test_other_languages_and_absent_parts_are_clear_errors(tmp_path):
    with pytest.raises(UserError, match="no language 'es'; it has en"):
        prepare(tmp_path, language="es")
    with pytest.raises(UserError, match=r"(?s)parts of 'train' .*train-other-500.*LIBRISPEECH"):
        prepare(tmp_path, "train")
