import dataclasses
import hashlib
import json

import numpy as np
import pytest
import soundfile

from espnet_otreg.corpora import CORPORA
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table
from espnet_otreg.mini import build as mini
from espnet_otreg.mini import domains, layouts, music
from espnet_otreg.mini.domains import DOMAINS, GRADED, MUSIC, SIZES
from espnet_otreg.stages import prepare_data

LEVELS = tuple(GRADED)
TINY = {**dict.fromkeys(LEVELS, (3, 1, 4)), **dict.fromkeys(DOMAINS, (4, 1, 2))}
REQUEST = mini.Request("smoke", ("en",), LEVELS, 0)
RATE = 16000


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "smoke", TINY)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny):
    output = tmp_path_factory.mktemp("graded")
    assert mini.build(output, REQUEST, 1).clips == 24
    return output


def clips(folder, split="test"):
    """By level, in the order of their numbers: (record, samples)."""
    found = {level: [] for level in LEVELS}
    with open(folder / "word_times.jsonl", encoding="utf-8") as stream:
        for record in map(json.loads, stream):
            if record["split"] == split:
                place = (record["corpus"], record["lang"], split, record["clip"])
                path = layouts.clip_path(folder, *place)
                found[record["corpus"]].append((record, soundfile.read(path)[0]))
    return found


def spoken(record, samples):
    """Where somebody speaks, by the true word times; (N,) bool."""
    mask = np.zeros(len(samples), bool)
    for _, start, end in record["words"]:
        mask[round(start * RATE) : round(end * RATE)] = True
    return mask


def decibels(samples):
    return 10 * np.log10(np.mean(samples**2))


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_each_level_has_more_time_without_words_more_noise_and_louder_music(made):
    shares, ratios, drawn = [], [], []
    for level in LEVELS:
        here = clips(made)[level]
        masks = [spoken(record, samples) for record, samples in here]
        shares.append(np.mean([1 - mask.mean() for mask in masks]))
        ratios.append(
            np.mean(
                [
                    decibels(samples[mask]) - decibels(samples[~mask])
                    for mask, (_, samples) in zip(masks, here, strict=True)
                ]
            )
        )
        drawn.append([record["snr_db"] for record, _ in here])
    assert shares[0] < 0.2 < shares[1] < 0.45 < shares[2]
    assert ratios[0] > 25 > ratios[1] > 10 > ratios[2] > 0
    assert min(drawn[0]) >= max(drawn[1])
    assert min(drawn[1]) >= max(drawn[2])
    assert MUSIC["graded1"][1] < MUSIC["graded2"][0]


def test_a_test_clip_is_the_same_sentence_by_the_same_voice_at_every_level(made):
    found = clips(made)
    for (clean, quiet), *others in zip(*(found[level] for level in LEVELS), strict=True):
        for other, loud in others:
            same = ("clip", "speaker", "voice", "rate_wpm", "pitch", "intonation")
            assert [clean[key] for key in same] == [other[key] for key in same]
            pairs = zip(clean["words"], other["words"], strict=True)
            for (word, start, _), (also, begin, end) in pairs:
                assert word == also
                piece = loud[round(begin * RATE) : round(end * RATE)]
                first = round(start * RATE)
                # word times are true: the word is found where they say, to a millisecond
                assert (
                    max(
                        np.corrcoef(piece, quiet[first + lag : first + lag + len(piece)])[0, 1]
                        for lag in range(-16, 17, 1)
                        if 0 <= first + lag <= len(quiet) - len(piece)
                    )
                    > 0.75
                )


def test_training_sentences_of_the_levels_differ_and_continue_each_other():
    drawn = [mini.sentences(level, "en", "train", 20, 0) for level in LEVELS]
    texts = [sentence.texts["en"] for part in drawn for _, sentence in part]
    assert len(set(texts)) == len(texts) == 60
    tests = {mini.sentences(level, "en", "test", 20, 0) for level in LEVELS}
    assert len(tests) == 1


@pytest.mark.parametrize("level", list(MUSIC))
def test_music_sounds_where_no_word_is_and_only_there(level):
    words = ["the", "man", "in", "the", "house", "sings"]
    domain = dataclasses.replace(GRADED[level], pause_share=1.0, pause=(0.2, 0.3))
    takes = []
    for asked in (None, (-6.0, -6.0)):
        mini._speaker().restart()
        who = mini.person(domain, "graded", "en", "train", 0, 0, 10)
        rng, around = mini.generator("clip"), mini.Background(None, asked)
        takes.append(mini.render(mini._speaker(), words, "en", domain, who, rng, around))
    plain, played = takes
    assert plain.words == played.words
    assert "music_db" not in plain.condition
    assert played.condition["music_db"] == -6.0
    tune = played.samples - plain.samples
    mask = spoken({"words": played.words}, tune)
    assert decibels(tune[mask]) < decibels(tune[~mask]) - 30
    assert decibels(tune[~mask]) == pytest.approx(plain.condition["level_db"] - 6, abs=1)
    for (_, _, end), (_, start, _) in zip(played.words, played.words[1:], strict=False):
        assert decibels(tune[round(end * RATE) : round(start * RATE)]) > -60  # every gap sounds


def test_the_gate_is_open_in_gaps_closed_in_words_and_shut_where_words_touch():
    gate = music.gaps(16000, [(4000, 6000), (6100, 9000), (12000, 16000)], RATE)
    assert gate[200:3800].min() == gate[9200:11800].min() == 1
    assert not gate[4000:9000].any()
    assert not gate[12000:].any()


def test_a_tune_is_harmonic_and_depends_on_its_seed_alone():
    first, again, other = (music.compose(RATE, RATE, np.random.default_rng(n)) for n in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    power = np.sort(np.abs(np.fft.rfft(first)) ** 2)[::-1]
    assert power[: len(power) // 20].sum() > 0.9 * power.sum()  # noise would have a tenth there
    assert len(music.compose(100, RATE, np.random.default_rng(0))) == 100


def test_making_it_again_gives_the_same_bytes(made, tmp_path):
    mini.build(tmp_path, REQUEST, 1)
    assert contents(tmp_path) == contents(made)


def test_a_changed_music_table_is_noticed(made, monkeypatch):
    monkeypatch.setitem(MUSIC, "graded2", (-3, 0))
    with pytest.raises(UserError, match="tables"):
        mini.build(made, REQUEST, 1)


def test_stage_1_reads_every_level_and_ids_lead_to_the_word_times(made, tmp_path):
    for level in LEVELS:
        options = ["--corpus", level, "--root", str(made / level), "--languages", "en"]
        prepare_data.main([*options, "--output", str(tmp_path)])
        folder = tmp_path / f"{level}_test"
        known = {
            f"{level}-en-test-{record['clip']}": " ".join(word for word, _, _ in record["words"])
            for record, _ in clips(made)[level]
        }
        assert read_table(folder / "text") == known
        assert not (folder / "rejected.tsv").read_text()
    speakers = [read_table(tmp_path / f"{level}_test" / "utt2spk").values() for level in LEVELS]
    assert sorted(speakers[0]) == sorted(speakers[1]) == sorted(speakers[2])


def test_what_a_level_lacks_is_listed_under_its_own_name(made, tmp_path):
    with pytest.raises(UserError, match=r"(?s)mini corpus graded1 not found.*GRADED1.*make_mini"):
        CORPORA["graded1"].prepare(tmp_path, "en", "test", tmp_path)
    home = tmp_path / "mls_english" / "test"
    home.mkdir(parents=True)
    (home / "transcripts.txt").write_text("1_2_3\thello\n")
    (entry,) = CORPORA["graded1"].prepare(tmp_path, "en", "test", tmp_path).rejected
    assert entry.where == "graded1-en-test-1_2_3"
    assert entry.reason.startswith("missing clip")


def test_the_corpora_without_music_are_what_they_were(tmp_path, monkeypatch):
    """Finished folders stay valid, and what the words sound like has not moved."""
    sizes = {"read": (10, 3, 3), "covost2": (10, 3, 3), "fleurs": (10, 3, 3)}
    monkeypatch.setitem(SIZES, "smoke", {**TINY, **sizes})
    whole = mini.Request("smoke", ("en", "es", "fr"), ("read", "covost2", "fleurs"), 0)
    assert whole.parameters()["tables"] == "37b7cdd1cdad4a7b"
    monkeypatch.setitem(SIZES, "smoke", TINY)
    mini.build(tmp_path, mini.Request("smoke", ("en",), ("read", "covost2", "fleurs"), 0), 1)
    times = (tmp_path / "word_times.jsonl").read_bytes()
    assert hashlib.sha256(times).hexdigest()[:16] == "6ac0c8a045a17900"
    paths = sorted((tmp_path / "mls").rglob("*.flac"))
    # not a digest: the last bit of a sample may depend on the processor
    assert [round(decibels(soundfile.read(path)[0]), 2) for path in paths] == pytest.approx(
        [-23.41, -29.86, -19.57, -24.59, -24.75, -25.49, -29.75], abs=0.02
    )


def test_graded_corpora_are_no_part_of_what_is_made_when_nothing_is_asked_for():
    assert not set(DOMAINS) & set(GRADED)
    assert {domains.family(corpus) for corpus in GRADED} == {"graded"}
    assert [domains.family(corpus) for corpus in DOMAINS] == list(DOMAINS)
