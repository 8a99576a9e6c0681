import hashlib
import json

import numpy as np
import pytest
import soundfile

from espnet_otreg.corpora import natural as corpus
from espnet_otreg.corpora import prompts
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from espnet_otreg.natural import SIZES, domain
from espnet_otreg.natural.build import Request, build
from espnet_otreg.stages import check_overlap, make_natural, prepare_data
from tests.support import packages

REQUEST = Request("smoke", ("en", "fr"), 0, 0)
SPLITS = ("train", "dev", "test")


def hum(name):
    """Return a voice that hums: a note by its name, a moment per letter."""
    pitch = 100 + 10 * (sum(name.encode()) % 30)

    def speak(text, speed):
        time = np.arange(int(16000 * 0.02 * len(text) / speed)) / 16000
        return np.sin(2 * np.pi * pitch * time).astype(np.float32), 16000

    return speak


def texts(root, count=20):
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    names = [f"{a} {b}" for a in words for b in words][:count]
    english = [("a", "font_big", f"This is {name}, you know it well.") for name in names]
    packages.script(root, "cave", "en", english)
    packages.script(root, "cave", "fr", [(*line, f"{line[2][:-1]} !") for line in english])
    return packages.fortunes(root, ["There is no time like now."])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return the texts, and one finished folder."""
    root = tmp_path_factory.mktemp("natural")
    build(root / "out", texts(root / "texts"), REQUEST, 1, hum)
    return root / "texts", root / "out"


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def prepared(root, split, language="en", **options):
    return corpus.prepare(root, language, split, root / "work", **options)


def test_the_covost_reader_reads_it_whole(folders, tmp_path):
    words = ["--corpus", "covost2", "--root", str(folders[1]), "--languages", "en fr"]
    prepare_data.main([*words, "--output", str(tmp_path)])
    for split, count in zip(SPLITS, SIZES["smoke"]["en"], strict=True):
        assert (
            len((tmp_path / f"covost2_{split}" / "wav.scp").read_text().splitlines()) == 2 * count
        )
        assert not (tmp_path / f"covost2_{split}" / "rejected.tsv").read_text()


def test_no_sentence_and_no_speaker_is_in_two_splits_and_every_voice_in_all(folders):
    rows = [json.loads(line) for line in (folders[1] / "clips.jsonl").read_text().splitlines()]
    for fact in ("written", "speaker"):
        seen = [{row[fact] for row in rows if row["split"] == split} for split in SPLITS]
        assert sum(map(len, seen)) == len(set.union(*seen)), fact
    for split in SPLITS:
        own = [row["voice"] for row in rows if row["split"] == split and row["lang"] == "en"]
        assert set(own) == set(domain("en", 0, "smoke").voices)


def test_ids_begin_with_the_speaker_and_terms_come_from_the_manifest(folders):
    for split in SPLITS:
        for record in prepared(folders[1], split).records:
            assert record.utt_id.startswith(f"{record.speaker}-en_{split}_")
            assert "GPL-2.0" in record.license and "SVOX" in record.attribution
    told = json.loads((folders[1] / "manifest.json").read_text())
    assert {voice["name"] for voice in told["voices"]} == {"pico:en-US", "pico:en-GB", "pico:fr-FR"}
    assert told["prompts_compared"] == {"en": 0, "fr": 0}


def test_translations_are_those_of_the_text(folders):
    listed = prepared(folders[1], "test", "fr", target="en")
    assert listed.records and all(r.translation.endswith("well.") for r in listed.records)
    listed = prepared(folders[1], "test", target="es")
    assert by_category(listed.rejected) == {"no translation": 3}
    assert all(entry.where.startswith("natural-en-test-") for entry in listed.rejected)


def test_times_of_phrases_lie_in_their_clip(folders):
    for line in (folders[1] / "clips.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert " ".join(phrase for phrase, _, _ in row["phrases"]) == row["written"]
        edges = [time for _, start, end in row["phrases"] for time in (start, end)]
        assert edges == sorted(edges) and edges[0] > 0 and edges[-1] * 16000 < row["samples"]


def test_the_seed_and_an_interruption_change_what_they_should(folders, tmp_path, monkeypatch):
    from espnet_otreg.natural import build as module

    whole, calls = module._make_chunk, []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(module, "_make_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "again", folders[0], REQUEST, 1, hum)
    build(tmp_path / "again", folders[0], REQUEST, 1, hum)
    assert len(calls) == 3 + 4  # of six chunks, two were done
    assert contents(tmp_path / "again") == contents(folders[1])
    build(tmp_path / "other", folders[0], REQUEST._replace(seed=1), 1, hum)
    assert contents(tmp_path / "other") != contents(folders[1])


def test_a_finished_folder_is_left_alone_unless_something_else_is_asked(folders):
    before = contents(folders[1])
    assert build(folders[1], folders[0], REQUEST, 1, hum) is None
    with pytest.raises(UserError, match="made with level 0, and 2 is asked for now"):
        build(folders[1], folders[0], REQUEST._replace(level=2), 1, hum)
    assert contents(folders[1]) == before


def test_other_texts_are_noticed(folders, tmp_path):
    with pytest.raises(UserError, match="made with tables"):
        build(folders[1], texts(tmp_path, 30), REQUEST, 1, hum)


def test_levels_say_the_same_with_more_pauses_and_noise(folders, tmp_path):
    build(tmp_path, folders[0], REQUEST._replace(languages=("en",), level=2), 1, hum)
    for split in SPLITS:
        level0, level2 = prepared(folders[1], split).records, prepared(tmp_path, split).records
        assert [r[:4] for r in level0] == [r[:4] for r in level2]
        lengths = [
            sum(soundfile.info(r.audio).frames for r in records) for records in (level0, level2)
        ]
        assert lengths[0] * 1.1 < lengths[1]


def test_a_language_with_too_little_text_is_refused_with_the_numbers(tmp_path):
    with pytest.raises(UserError, match="too little text in 'fr': 8 sentences of fillets-ng-data"):
        build(tmp_path / "out", texts(tmp_path, 8), Request("smoke", ("fr",), 0, 0), 1, hum)
    assert not (tmp_path / "out").exists()


def test_a_missing_voice_is_said_before_anything_is_written(folders, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "py_nanotts", None)
    with pytest.raises(UserError, match="pip install py-nanotts"):
        build(tmp_path / "out", folders[0], REQUEST, 1)
    assert not (tmp_path / "out").exists()


def test_training_on_it_shares_nothing_with_the_prompts(folders, tmp_path):
    def data_dir(name, records):
        data = prepare_data.to_data_dir(records)
        samples = {utt: str(1000 + n) for n, utt in enumerate(data.ids)}
        data.tables["utt2num_samples"] = samples
        data.save(tmp_path / name)
        return str(tmp_path / name)

    train = data_dir("natural_train", prepared(folders[1], "train").records)
    root = packages.prompts(tmp_path, {"agent-pass": "Please enter your password."})
    listed = prompts.prepare(root, "en", "all3", root / "work").records
    test, report = data_dir("prompts_all3", listed), tmp_path / "overlap.tsv"
    words = ["--train", train, "--test", test, "--sentences", "error", "--report", str(report)]
    check_overlap.main(words)
    assert not report.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--languages", "de"], "--languages 'de': expected one or more of en es fr"),
        (["--jobs", "-1"], "--jobs must be 0 or more, not -1"),
        (["--texts", "/nowhere"], "--texts /nowhere is not a folder"),
    ],
)
def test_wrong_options_are_one_line(words, message, tmp_path):
    given = ["--output", str(tmp_path / "out"), "--texts", str(tmp_path), *words]
    with pytest.raises(SystemExit, match=message):
        make_natural.main(given)


def test_an_absent_folder_says_how_to_make_it(tmp_path):
    with pytest.raises(UserError, match=r"make_natural --output ROOT"):
        prepared(tmp_path, "train")
