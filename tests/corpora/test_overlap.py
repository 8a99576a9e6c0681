"""Training and test sets made of the same clips, people or sentences."""

import shutil

import numpy as np
import pytest

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.overlap import find_shared, person
from espnet_otreg.errors import UserError
from espnet_otreg.stages import check_overlap, filter_data, format_audio
from tests.support import corpus_trees as trees


def make_set(folder, utterances):
    """A formatted set of (utterance, speaker, sentence, seed of the recording)."""
    tables = {name: {} for name in ("wav.scp", "text", "utt2spk", "utt2lang", "utt2num_samples")}
    for utt, speaker, text, seed in utterances:
        signal = np.random.default_rng(seed).normal(scale=0.1, size=800)
        path = trees.write_audio(folder / "audio" / f"{utt}.flac", signal)
        row = {"wav.scp": str(path), "text": text, "utt2spk": speaker, "utt2lang": "en"}
        for name, value in (row | {"utt2num_samples": "800"}).items():
            tables[name][utt] = value
    DataDir(tables).save(folder)
    return folder


TRAIN = [
    ("covost2-en-train-common_voice_en_1", "s1", "one", 1),
    ("covost2-en-train-common_voice_en_2", "s2", "two", 2),
    ("mls-en-train-12_34_1", "mls-12", "three", 3),
    ("mls-en-train-13_34_1", "mls-13", "four", 4),
]
TEST = [
    ("commonvoice-en-test-common_voice_en_1", "s7", "other", 11),
    ("commonvoice-en-test-common_voice_en_9", "s2", "another", 12),
    ("librispeech-en-test-12-5-0001", "librispeech-12", "more", 13),
    ("x-en-test-1", "x-1", "four", 14),
]


@pytest.fixture
def sets(tmp_path):
    return make_set(tmp_path / "in/a_train", TRAIN), make_set(tmp_path / "org/b_test", TEST)


def check(tmp_path, sets, *options):
    train, test = sets
    report, output = tmp_path / "overlap.tsv", tmp_path / "out"
    arguments = ["--train", train, "--test", test, "--report", report, "--output", output]
    check_overlap.main([*map(str, arguments), *options])
    return report, output


def shared(train, test):
    data = {folder.name: DataDir.load(folder) for folder in (train, test)}
    found, counted = find_shared({train.name: data[train.name]}, {test.name: data[test.name]})
    return {(entry.kind, entry.utt_id, entry.like) for entry in found}, counted


def test_clips_by_name_people_by_number_and_sentences_by_text_are_found(sets):
    found, counted = shared(*sets)
    assert found == {
        ("clip", TRAIN[0][0], TEST[0][0]),
        ("speaker", TRAIN[1][0], TEST[1][0]),  # Common Voice's client
        ("speaker", TRAIN[2][0], TEST[2][0]),  # LibriVox' reader 12
        ("sentence", TRAIN[3][0], TEST[3][0]),
    }
    assert counted[("speaker", "a_train", "b_test")] == (2, 2, 2)


def test_equal_recordings_are_found_whatever_they_are_called(tmp_path):
    train = make_set(tmp_path / "train", [("x-1", "p", "a", 1), ("x-2", "q", "b", 2)])
    test = make_set(tmp_path / "test", [("y-1", "r", "c", 2), ("y-2", "s", "d", 3)])
    found, _ = shared(train, test)
    assert found == {("clip", "x-2", "y-1")}


def test_recordings_that_differ_in_length_or_size_are_never_read(tmp_path, monkeypatch):
    train = make_set(tmp_path / "train", [("x-1", "p", "a", 1)])
    test = make_set(tmp_path / "test", [("y-1", "r", "c", 2)])
    loud = np.random.default_rng(2).normal(scale=0.3, size=800)
    trees.write_audio(test / "audio/y-1.flac", loud)
    monkeypatch.setattr("espnet_otreg.corpora.overlap._digest", lambda path: pytest.fail("read"))
    assert shared(train, test)[0] == set()


def test_named_clips_of_equal_content_and_different_names_are_found(tmp_path):
    """Common Voice's names are compared, and where they differ the recordings are."""
    names = [f"covost2-en-train-common_voice_en_{number}" for number in (1, 2, 3)]
    train = make_set(tmp_path / "train", zip(names, "pqr", "abc", (1, 2, 3), strict=True))
    tested = [f"commonvoice-en-test-common_voice_en_{number}" for number in (1, 8, 9)]
    test = make_set(tmp_path / "test", zip(tested, "stu", "def", (1, 2, 7), strict=True))
    found, counted = shared(train, test)
    assert found == {("clip", names[0], tested[0]), ("clip", names[1], tested[1])}
    assert counted == {("clip", "train", "test"): (2, 2, 2)}  # each once, though the first is both


@pytest.mark.parametrize("name", ["fleurs-en-{}-11", "covost2-en-{}-common_voice_en_1"])
def test_every_speed_of_a_shared_clip_is_found_in_any_training_set(tmp_path, name):
    utt, other = name.format("train"), "mls-en-train-1_2_3"
    train = [(utt, "p", "a", 1), (f"sp0.9-{utt}", "sp0.9-p", "a", 2), (other, "q", "b", 3)]
    faster = [(f"sp1.1-{utt}", "sp1.1-p", "a", 4), (f"sp1.1-{other}", "sp1.1-q", "b", 5)]
    sets = {
        folder.name: DataDir.load(folder)
        for folder in (make_set(tmp_path / "x", train), make_set(tmp_path / "y", faster))
    }
    test = DataDir.load(make_set(tmp_path / "t", [(name.format("test"), "r", "c", 1)]))
    found, counted = find_shared(sets, {"t": test})
    copies = {("x", utt), ("x", f"sp0.9-{utt}"), ("y", f"sp1.1-{utt}")}
    assert {(entry.train_set, entry.utt_id) for entry in found} == copies
    assert len(found) == 3
    assert counted == {("clip", "x", "t"): (2, 1, 1), ("clip", "y", "t"): (1, 1, 1)}


def test_an_empty_transcript_is_no_shared_sentence(tmp_path):
    train = make_set(tmp_path / "train", [("x-1", "p", "", 1)])
    test = make_set(tmp_path / "test", [("y-1", "r", "", 2)])
    assert shared(train, test)[0] == set()


def test_a_person_keeps_the_name_at_another_speed_and_in_a_sister_corpus():
    assert person("sp0.9-mls-12") == person("librispeech-12") != person("mls-13")
    assert person("mls-en-12") == "mls-en-12"
    assert person("aishell-S0002") == "aishell-S0002"


def test_by_default_it_stops_with_counts_examples_and_the_remedy(tmp_path, sets):
    with pytest.raises(SystemExit) as stop:
        check(tmp_path, sets)
    message = str(stop.value)
    for part in (
        "1 clip(s) of b_test are in a_train too: 1 utterances for training, 1 for testing",
        f"{TRAIN[0][0]} and {TEST[0][0]} (common_voice_en_1)",
        "2 speaker(s) of b_test are in a_train too",
        "--overlap drop",
        "--overlap allow",
    ):
        assert part in message
    assert "sentence" not in message
    lines = (tmp_path / "overlap.tsv").read_text().splitlines()
    assert len(lines) == 4  # sentences are listed all the same


def test_dropping_leaves_the_training_utterances_that_share_nothing(tmp_path, sets):
    _, output = check(tmp_path, sets, "--overlap", "drop")
    kept = DataDir.load(output / "a_train")
    assert kept.ids == [TRAIN[3][0]]
    rejected = (output / "a_train/rejected.tsv").read_text()
    assert f"{TRAIN[0][0]}\tclip is in b_test: as {TEST[0][0]}\n" in rejected
    assert DataDir.load(sets[0]).ids == [row[0] for row in TRAIN]  # what came in is untouched
    check(tmp_path, (output / "a_train", sets[1]))  # and passes now


def test_dropping_leaves_no_copy_of_a_shared_clip_at_another_speed(tmp_path):
    """Through the commands that make the copies, as the recipe runs them."""
    clips = {"train": {}, "test": {}}
    for name, utt, seed in (("train", "x-11", 1), ("train", "y-12", 2), ("test", "z-91", 1)):
        signal = np.random.default_rng(seed).normal(scale=0.1, size=8000)
        clips[name][utt] = trees.write_audio(tmp_path / "audio" / f"{utt}.wav", signal)
    for name, there in clips.items():
        trees.data_dir(tmp_path / "data" / name, there)
    formatted = {"train": ("train", "1.0"), "fast": ("train", "1.1"), "test": ("test", "1.0")}
    for output, (name, speed) in formatted.items():
        where = ["--input", str(tmp_path / "data" / name), "--output", str(tmp_path / output)]
        format_audio.main([*where, "--speed", speed, "--nj", "1"])
    joined = tmp_path / "joined/train"
    sources = [str(tmp_path / "train"), str(tmp_path / "fast")]
    filter_data.main(["--input", *sources, "--output", str(joined)])
    _, output = check(tmp_path, (joined, tmp_path / "test"), "--overlap", "drop")
    assert DataDir.load(output / "train").ids == ["sp1.1-y-12", "y-12"]
    rejected = (output / "train/rejected.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in rejected] == ["sp1.1-x-11", "x-11"]


def test_sentences_are_dropped_or_refused_only_where_asked(tmp_path, sets):
    with pytest.raises(SystemExit, match=r"(?s)1 sentence\(s\).*--sentences drop"):
        check(tmp_path, sets, "--overlap", "allow", "--sentences", "error")
    _, output = check(tmp_path, sets, "--overlap", "allow", "--sentences", "drop")
    assert DataDir.load(output / "a_train").ids == [row[0] for row in TRAIN[:3]]


def test_allowing_writes_nothing_but_the_report(tmp_path, sets):
    report, output = check(tmp_path, sets, "--overlap", "allow")
    assert len(report.read_text().splitlines()) == 4
    assert not output.exists()


def test_a_set_of_which_nothing_is_left_is_an_error(tmp_path):
    sets = make_set(tmp_path / "in/t", TRAIN[:2]), make_set(tmp_path / "org/e", TEST[:2])
    with pytest.raises(SystemExit, match="nothing is left of t"):
        check(tmp_path, sets, "--overlap", "drop")


def test_unformatted_sets_and_an_output_that_is_the_input_are_refused(tmp_path, sets):
    (sets[1] / "utt2num_samples").unlink()
    with pytest.raises(SystemExit, match=r"b_test has no utt2num_samples"):
        check(tmp_path, sets)
    arguments = ["--train", sets[0], "--test", sets[1], "--report", tmp_path / "r"]
    with pytest.raises(SystemExit, match="holds --train"):
        options = ["--overlap", "drop", "--output", tmp_path / "in"]
        check_overlap.main([str(part) for part in (*arguments, *options)])


@pytest.mark.parametrize("corpus", ["covost2", "commonvoice", "librispeech", "mls"])
def test_a_speaker_in_two_splits_is_found_in_every_corpus_that_names_speakers(tmp_path, corpus):
    """From the corpus' own layout: the same folder or client read as train and as test."""
    from espnet_otreg.corpora import CORPORA
    from espnet_otreg.stages.prepare_data import to_data_dir

    trees.plant(tmp_path / "in", corpus, ["a"])
    language = trees.LAYOUTS[corpus].language
    sets = []
    for name in ("train", "test"):
        records = CORPORA[corpus].prepare(tmp_path / "in", language, "test", tmp_path).records
        folder = tmp_path / name / corpus
        renamed = [r._replace(utt_id=r.utt_id.replace("-test-", f"-{name}-")) for r in records]
        to_data_dir(renamed).save(folder)
        format_audio.main(
            ["--input", str(folder), "--output", str(tmp_path / f"{name}_set"), "--nj", "1"]
        )
        sets.append(tmp_path / f"{name}_set")
    with pytest.raises(SystemExit, match=r"(?s)1 clip\(s\) .*1 speaker\(s\)"):
        check(tmp_path, sets)


def test_two_sets_of_one_name_are_refused(tmp_path, sets):
    shutil.copytree(sets[0], tmp_path / "copy" / sets[0].name)
    with pytest.raises(UserError, match="two data directories are called a_train"):
        check_overlap._load([sets[0], tmp_path / "copy" / sets[0].name])
