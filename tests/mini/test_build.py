import csv
import dataclasses
import hashlib
import json
import tarfile

import pytest
import soundfile

from espnet_otreg.corpora import fleurs
from espnet_otreg.errors import UserError
from espnet_otreg.mini import build as mini
from espnet_otreg.mini import layouts
from espnet_otreg.mini.domains import DOMAINS, SIZES
from espnet_otreg.stages import make_mini

TINY = {"read": (4, 1, 1), "covost2": (4, 1, 2), "fleurs": (6, 1, 2)}
REQUEST = mini.Request("smoke", ("en", "fr"), ("read", "covost2", "fleurs"), 0)
CV = layouts.RELEASES["covost2"]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(SIZES, "smoke", TINY)
    monkeypatch.setattr(mini, "_CHUNK", 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One finished folder, made in this process."""
    output = tmp_path_factory.mktemp("mini")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "smoke", TINY)
        patch.setattr(mini, "_CHUNK", 3)
        assert mini.build(output, REQUEST, 1).clips == 44
    return output


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def table(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def times(folder):
    with open(folder / "word_times.jsonl", encoding="utf-8") as stream:
        return {record["clip"] + record["lang"]: record for record in map(json.loads, stream)}


def test_common_voice_tables_name_the_clips_that_are_there(made):
    folder = made / CV / "fr"
    header, *rows = table(folder / "validated.tsv")
    assert header == [
        "client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent",
    ]  # fmt: skip
    assert {row[1] for row in rows} == {path.name for path in (folder / "clips").iterdir()}
    split_rows = [
        row for split in ("train", "dev", "test") for row in table(folder / f"{split}.tsv")[1:]
    ]
    assert split_rows == rows
    for client, path, sentence, *_ in rows:
        assert len(bytes.fromhex(client)) == 64
        assert len(path) == len("common_voice_fr_12345678.mp3")
        assert sentence[0].isupper()
        assert sentence[-1] in ".?"


def test_covost2_joins_on_path_and_translates_the_sentence(made):
    header, *pairs = table(made / "covost_v2.fr_en.tsv")
    assert header == ["path", "translation", "split"]
    clips = {row[1]: row for row in table(made / CV / "fr" / "validated.tsv")[1:]}
    assert {pair[0] for pair in pairs} == set(clips)
    chosen = mini.sentences("covost2", "fr", "train", 4, 0)
    train = [pair for pair in pairs if pair[2] == "train"]
    for (_, sentence), (path, translation, _) in zip(chosen, train, strict=True):
        assert translation == mini.written(sentence, "en")
        assert clips[path][2] == mini.written(sentence, "fr")


def test_fleurs_has_seven_columns_and_true_sample_counts(made):
    rows = table(made / "fleurs/data/en_us/train.tsv")
    with tarfile.open(made / "fleurs/data/en_us/audio/train.tar.gz") as tar:
        members = {member.name: soundfile.info(tar.extractfile(member)) for member in tar}
    assert {f"train/{row[1]}" for row in rows} == set(members)
    for number, name, raw, text, letters, samples, gender in rows:
        assert number.isdigit()
        assert members[f"train/{name}"].frames == int(samples)
        assert members[f"train/{name}"].samplerate == 16000
        assert text == raw.rstrip(" .?").lower()
        assert letters.replace(" ", "").replace("|", " ").strip() == text
        assert gender in ("MALE", "FEMALE")
    assert len({row[0] for row in rows}) == len(rows) - 1  # one sentence is read twice


def test_fleurs_names_the_voices_that_were_drawn(made, tmp_path):
    people = {}
    for split in ("train", "test"):
        records = fleurs.prepare(made, "en", split, tmp_path).records
        people[split] = {record.speaker for record in records}
        assert all(name.startswith(f"fleurs-en-{split}-") for name in people[split])
    assert len(people["train"]) == 6 and len(people["test"]) == 2
    named = {row[0] for row in table(made / "fleurs/data/en_us/speakers.tsv")}
    assert len(named) == 6 + 1 + 2


def test_fleurs_numbers_mean_the_same_sentence_in_every_language(made):
    english = [row[0] for row in table(made / "fleurs/data/en_us/train.tsv")]
    assert english == [row[0] for row in table(made / "fleurs/data/fr_fr/train.tsv")]


def test_mls_transcripts_lead_to_the_flac_files(made):
    folder = made / "mls/mls_french/train"
    rows = table(folder / "transcripts.txt")
    assert len(rows) == 4
    for name, text in rows:
        reader, book, _ = name.split("_")
        info = soundfile.info(folder / "audio" / reader / book / f"{name}.flac")
        assert (info.samplerate, info.channels) == (16000, 1)
        assert text == text.lower()


def test_word_times_cover_every_clip_and_its_words(made):
    records = times(made)
    assert len(records) == 44
    for name, text in table(made / "mls/mls_english/train/transcripts.txt"):
        record = records[name + "en"]
        assert [word for word, _, _ in record["words"]] == text.split()
        flat = [time for _, start, end in record["words"] for time in (start, end)]
        assert flat == sorted(flat)
        assert flat[-1] <= record["samples"] / record["rate"]


def test_speakers_of_test_are_not_in_training(made):
    by_split = {}
    for record in times(made).values():
        by_split.setdefault(record["split"], set()).add(record["speaker"])
    assert not by_split["train"] & by_split["test"]
    assert not by_split["train"] & by_split["dev"]


def test_nothing_of_the_work_in_progress_is_left(made):
    assert not (made / layouts.STAGING).exists()
    assert not list(made.rglob("*.tmp"))


def test_the_number_of_processes_changes_no_byte(made, tmp_path):
    mini.build(tmp_path, REQUEST, 2)
    assert contents(tmp_path) == contents(made)


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(made, tmp_path, monkeypatch):
    whole, calls = mini._make_chunk, []

    def interrupted(output, seed, chunk):
        calls.append(chunk)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return whole(output, seed, chunk)

    monkeypatch.setattr(mini, "_make_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mini.build(tmp_path, REQUEST, 1)
    assert not (tmp_path / ".done.json").exists()
    assert not list(tmp_path.rglob("transcripts.txt"))
    first = calls[:4]
    mini.build(tmp_path, REQUEST, 1)
    assert not set(first) & set(calls[5:])  # finished chunks are not made again
    assert contents(tmp_path) == contents(made)


def test_a_chunk_cut_off_in_the_middle_is_not_taken_as_done(made, tmp_path, monkeypatch):
    write, calls = mini.write_clip, []

    def full_disk(path, samples):
        calls.append(path)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        write(path, samples)

    monkeypatch.setattr(mini, "write_clip", full_disk)
    with pytest.raises(OSError, match="No space"):
        mini.build(tmp_path, REQUEST, 1)
    monkeypatch.setattr(mini, "write_clip", write)
    mini.build(tmp_path, REQUEST, 1)
    assert contents(tmp_path) == contents(made)


def test_a_finished_folder_is_left_alone(made, caplog):
    before = contents(made)
    assert mini.build(made, REQUEST, 1) is None
    with caplog.at_level("INFO"):
        make_mini.main(["--output", str(made), "--size", "smoke", "--languages", "fr en"])
    assert "complete already" in caplog.text
    assert contents(made) == before


@pytest.mark.parametrize("finished", [True, False])
def test_other_parameters_in_the_same_folder_are_an_error(made, tmp_path, monkeypatch, finished):
    folder = made if finished else tmp_path
    if not finished:
        monkeypatch.setattr(
            mini, "in_parallel", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            mini.build(folder, REQUEST, 1)
    with pytest.raises(UserError, match="seed 0, and 7 is asked for"):
        mini.build(folder, REQUEST._replace(seed=7), 1)


def test_a_changed_domain_table_is_noticed(made, monkeypatch):
    louder = dataclasses.replace(DOMAINS["read"], level=(-5, -5))
    monkeypatch.setitem(DOMAINS, "read", louder)
    with pytest.raises(UserError, match="tables"):
        mini.build(made, REQUEST, 1)


@pytest.mark.parametrize(
    ("option", "value"), [("--languages", "en tlh"), ("--corpora", ""), ("--jobs", "-1")]
)
def test_a_wrong_option_is_named(option, value, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        make_mini.main(["--output", str(tmp_path / "new"), option, value])
    assert option in str(stop.value)
    assert not (tmp_path / "new").exists()


def test_the_wide_size_trains_as_mini_does_and_tests_on_five_times_as_much():
    for corpus, (train, dev, test) in SIZES["mini"].items():
        wide = SIZES["wide"][corpus]
        assert wide[:2] == (train, dev)
        assert wide[2] == (test if corpus in ("read", "broad") else 5 * test)
