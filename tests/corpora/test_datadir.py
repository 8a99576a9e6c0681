import pytest

from espnet_otreg.corpora.datadir import DataDir, combine
from espnet_otreg.corpora.record import Record
from espnet_otreg.corpora.trainable import normalise_transcript
from espnet_otreg.errors import UserError
from espnet_otreg.stages import prepare_data
from tests.support import corpus_trees as trees


def two(folder):
    return trees.data_dir(folder, {"b1": folder / "b.wav", "a1": folder / "a.wav"})


def test_a_saved_set_reads_back_and_is_sorted_by_bytes(tmp_path):
    names = ["b", "a", "Z", "é", "a-1", "a1", "\U00010000", "\uffff"]
    records = [Record(name, "s", "en", "x y", str(tmp_path / "x y.wav")) for name in names]
    data = prepare_data.to_data_dir(records)
    data.save(tmp_path / "set")
    assert DataDir.load(tmp_path / "set") == data
    for table in ("wav.scp", "text", "utt2spk", "utt2lang"):
        lines = (tmp_path / "set" / table).read_bytes().splitlines()
        assert lines == sorted(lines)
        assert len(lines) == len(names)
    assert (tmp_path / "set" / "spk2utt").read_text() == f"s {' '.join(sorted(names))}\n"


def test_tables_that_disagree_name_the_utterances(tmp_path):
    folder = two(tmp_path / "set")
    (folder / "text").write_text("a1 hello\nc1 there\n")
    (folder / "utt2num_samples").write_text("a1 12\nb1 -3\n")
    with pytest.raises(UserError) as error:
        DataDir.load(folder).validate(folder)
    for part in ("text: 1 utterance(s) not in wav.scp: c1", "in wav.scp only: b1", "b1 has '-3'"):
        assert part in str(error.value)


def test_a_duplicate_id_names_file_and_line(tmp_path):
    folder = two(tmp_path / "set")
    (folder / "text").write_text("a1 x\nb1 y\na1 z\n")
    with pytest.raises(UserError, match=r"text:3: 'a1'"):
        DataDir.load(folder)


def test_only_text_may_be_empty(tmp_path):
    folder = two(tmp_path / "set")
    (folder / "text").write_text("a1\nb1 y\n")
    assert DataDir.load(folder).tables["text"] == {"a1": "", "b1": "y"}
    (folder / "utt2spk").write_text("a1\nb1 y\n")
    with pytest.raises(UserError, match="utt2spk: utterance a1 has no value"):
        DataDir.load(folder)


def test_missing_folders_files_and_segments_are_clear_errors(tmp_path):
    with pytest.raises(UserError, match=r"data directory .* is missing"):
        DataDir.load(tmp_path / "none")
    folder = two(tmp_path / "set")
    (folder / "segments").touch()
    with pytest.raises(UserError, match="segments"):
        DataDir.load(folder)
    (folder / "segments").unlink()
    (folder / "utt2spk").unlink()
    with pytest.raises(UserError, match="utt2spk"):
        DataDir.load(folder)


def test_an_interrupted_save_is_not_complete(tmp_path, monkeypatch):
    folder = two(tmp_path / "set")
    data = DataDir.load(folder)
    real = DataDir.save.__globals__["write_lines"]

    def full_disk(path, lines):
        if path.name == "utt2lang":
            raise OSError(28, "No space left on device")
        real(path, lines)

    monkeypatch.setitem(DataDir.save.__globals__, "write_lines", full_disk)
    with pytest.raises(OSError, match="No space"):
        data.save(folder)
    assert not (folder / "wav.scp").exists()
    assert not list(folder.glob(".*"))


def test_ids_that_begin_with_the_speaker_sort_as_kaldi_wants(tmp_path):
    said = {"u1": "b", "u2": "a", "u3": "b1", "a-u4": "a", "u5": "b"}
    data = prepare_data.to_data_dir([Record(u, who, "en", u, f"/{u}") for u, who in said.items()])
    data = data.speaker_first()
    made = {"b-u1": "/u1", "a-u2": "/u2", "b1-u3": "/u3", "a-u4": "/a-u4", "b-u5": "/u5"}
    assert data.tables["wav.scp"] == made
    data.save(tmp_path / "set")
    rows = [line.split() for line in (tmp_path / "set/utt2spk").read_text().splitlines()]
    assert rows == sorted(rows, key=lambda row: row[::-1])  # by speaker too
    assert (tmp_path / "set/spk2utt").read_text() == "a a-u2 a-u4\nb b-u1 b-u5\nb1 b1-u3\n"
    wrong = prepare_data.to_data_dir(
        [Record("x", "a", "en", "x", "/x"), Record("b-y", "a-b", "en", "y", "/y")]
    )
    with pytest.raises(UserError, match="speakers a and a-b cannot both begin ids"):
        wrong.speaker_first()


def test_combining_refuses_an_utterance_that_is_in_two_sets(tmp_path):
    sets = {path: DataDir.load(two(path)) for path in (tmp_path / "x", tmp_path / "y")}
    with pytest.raises(UserError, match=r"utterance a1 is in .*x and again in .*y"):
        combine(sets)


def test_combining_says_which_table_only_some_sets_have(tmp_path):
    one = DataDir.load(two(tmp_path / "x"))
    other = DataDir.load(trees.data_dir(tmp_path / "y", {"c1": tmp_path / "c.wav"}))
    del other.tables["utt2lang"]
    other.tables["text.de"] = {"c1": "hallo"}
    joined, left_out = combine({tmp_path / "x": one, tmp_path / "y": other})
    assert joined.ids == ["a1", "b1", "c1"]
    assert left_out == ["utt2lang"]
    assert joined.tables["text.de"] == {"c1": "hallo"}


def test_normalised_transcripts_keep_what_is_spelt():
    cases = {
        "«L’Été», e\u0301tait-il   BEAU ?": "l'été était il beau",
        "'quoted' rock 'n' roll, the dogs' owner's": "quoted rock n roll the dogs owner's",
        "3.5 % & more\u2028line\u00a0two": "3 5 more line two",
        "हिन्दी में।": "हिन्दी में",  # combining marks stay
        "می\u200cخواهم\u200c .": "می\u200cخواهم",  # the joiner inside a word stays
        "soft\u00adhyphen": "softhyphen",
        "?!…": "",
    }
    for text, expected in cases.items():
        assert normalise_transcript(text) == expected
        assert normalise_transcript(expected) == expected
    assert normalise_transcript("IŞIK İzmir", "tr") == "ışık izmir"


def run(command, *arguments):
    command.main([str(argument) for argument in arguments])


def mixed_tree(root):
    sentences = [("s1", "a.mp3", "Hello, World!", "1"), ("s2", "b.mp3", "...", "1")]
    return trees.covost2(
        root, sentences, {"de": [("a.mp3", "Hallo Welt", "train"), ("b.mp3", "B", "train")]}
    )


def test_the_command_writes_a_data_directory_and_the_list_of_rejections(tmp_path):
    root = mixed_tree(tmp_path)
    options = ("--corpus", "covost2", "--root", root, "--languages", "en", "--splits", "train")
    options += ("--max_rejected", 0.5)
    run(prepare_data, *options, "--output", tmp_path / "data")
    folder = tmp_path / "data" / "covost2_train"
    assert (folder / "text").read_text() == "covost2-en-train-a hello world\n"
    assert (folder / "text.de").read_text() == "covost2-en-train-a Hallo Welt\n"
    assert (folder / "utt2lang").read_text() == "covost2-en-train-a en\n"
    assert (folder / "rejected.tsv").read_text() == "covost2-en-train-b\tnothing but punctuation\n"
    run(prepare_data, *options, "--output", tmp_path / "data", "--text", "raw")
    assert DataDir.load(folder).tables["text"]["covost2-en-train-a"] == "Hello, World!"
    run(prepare_data, *options, "--output", tmp_path / "data", "--ids", "speaker")
    assert (folder / "utt2spk").read_text() == "s1-covost2-en-train-a s1\n"


def test_a_translation_left_empty_is_listed_where_it_was_asked_for(tmp_path):
    clips = [f"{name}.mp3" for name in "abc"]
    rows = list(zip(clips, ("Hallo!", "...", ""), ["train"] * 3, strict=True))
    root = trees.covost2(tmp_path, [("s1", clip, "Hello", "1") for clip in clips], {"de": rows})
    options = ("--corpus", "covost2", "--root", root, "--languages", "en", "--splits", "train")
    options += ("--output", tmp_path / "data", "--max_rejected", 0.7)
    folder = tmp_path / "data" / "covost2_train"
    run(prepare_data, *options, "--target", "de", "--translations", "lower")
    assert (folder / "text.de").read_text() == "covost2-en-train-a hallo\n"
    assert DataDir.load(folder).ids == ["covost2-en-train-a"]
    assert (folder / "rejected.tsv").read_text().splitlines() == [
        "covost2-en-train-b\tnothing but punctuation in the translation",
        "covost2-en-train-c\tno translation",
    ]
    run(prepare_data, *options, "--target", "de")
    assert (folder / "text.de").read_text().splitlines()[1] == "covost2-en-train-b ..."
    run(prepare_data, *options, "--translations", "lower")
    assert len(DataDir.load(folder).ids) == 3
    assert not (folder / "rejected.tsv").read_text()


def test_a_language_without_any_usable_utterance_is_an_error(tmp_path, capsys):
    root = mixed_tree(tmp_path)
    (root / "cv-corpus-4-2019-12-10" / "en" / "clips" / "a.mp3").unlink()
    output = tmp_path / "data"
    with pytest.raises(SystemExit, match=r"no usable utterance .*missing clip \(1\).*rejected.tsv"):
        run(
            prepare_data,
            *("--corpus", "covost2", "--root", root, "--languages", "en"),
            *("--splits", "train", "--output", output),
        )
    assert len((output / "covost2_train" / "rejected.tsv").read_text().splitlines()) == 2
    assert not (output / "covost2_train" / "wav.scp").exists()


def prepare_mls(root, *options):
    command = ("--corpus", "mls", "--root", root, "--splits", "test", "--output", root / "data")
    run(prepare_data, *command, *options)


def test_a_split_of_which_too_much_is_rejected_is_refused_with_counts_and_the_list(tmp_path):
    clips = trees.plant(tmp_path, "mls", [" ", *"abcdefghi"])
    prepare_mls(tmp_path, "--languages", "fr")  # one of ten is the share allowed
    folder = tmp_path / "data" / "mls_test"
    assert len(DataDir.load(folder).ids) == 9
    clips[4].unlink()
    with pytest.raises(SystemExit) as stop:
        prepare_mls(tmp_path, "--languages", "fr")
    for part in (
        "2 of 10 utterances of mls test 'fr' cannot be used",
        "missing clip (1)",
        "empty sentence (1)",
        "--max_rejected allows a share of 0.1",
        str(folder / "rejected.tsv"),
    ):
        assert part in str(stop.value)
    assert len((folder / "rejected.tsv").read_text().splitlines()) == 2
    assert not (folder / "wav.scp").exists()  # the tables of the run before it are no longer right
    prepare_mls(tmp_path, "--languages", "fr", "--max_rejected", 0.2)
    assert len(DataDir.load(folder).ids) == 8
    with pytest.raises(SystemExit, match=r"--max_rejected 2: expected a share from 0 to 1"):
        prepare_mls(tmp_path, "--languages", "fr", "--max_rejected", 2)


def test_the_share_of_rejected_utterances_is_that_of_one_language_alone(tmp_path):
    trees.plant(tmp_path, "mls", "abcdefghijklmnopqrstuvwxyz")
    table = tmp_path / "mls_german/test/transcripts.txt"
    trees.write_table(table, [("1_2_3", "ja"), ("1_2_4", "nein")])
    trees.write_audio(table.parent / "audio/1/2/1_2_3.flac")  # 1 of 28, but 1 of 2 in German
    with pytest.raises(
        SystemExit, match=r"1 of 2 utterances of mls test 'de' .*missing clip \(1\)"
    ):
        prepare_mls(tmp_path, "--languages", "fr", "de")


def test_an_option_of_another_corpus_or_an_absent_root_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="--target means nothing for fleurs"):
        run(prepare_data, "--corpus", "fleurs", "--root", tmp_path, "--target", "en")
    with pytest.raises(SystemExit, match=r"set MLS in db\.sh"):
        run(prepare_data, "--corpus", "mls", "--root", tmp_path / "none")
