import random

import jiwer
import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.wer import (
    TOTAL,
    Counts,
    count_character_errors,
    count_errors,
    score,
    scored_in_characters,
    summarise,
)


def edit_distance(reference, hypothesis):
    """The textbook recursion, row by row."""
    row = list(range(len(hypothesis) + 1))
    for i, r in enumerate(reference, start=1):
        above, row = row, [i]
        for j, h in enumerate(hypothesis, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (r != h)))
    return row[-1]


def random_texts(count, seed=0):
    generator = random.Random(seed)
    return [
        " ".join(generator.choices(["a", "bb", "ccc", "d", "e"], k=generator.randint(1, 9)))
        for _ in range(count)
    ]


def test_counts_by_hand():
    assert count_errors("the cat sat down", "the bat sat") == Counts(4, 2, 1, 1, 0)
    assert count_errors("a b", "a x b y") == Counts(2, 2, 0, 0, 2)
    assert count_character_errors("ab c", "abc", "en") == Counts(4, 3, 0, 1, 0)


def test_counts_agree_with_the_edit_distance():
    for reference, hypothesis in zip(random_texts(200), random_texts(200, seed=1), strict=True):
        words = count_errors(reference, hypothesis)
        assert words.errors == edit_distance(reference.split(), hypothesis.split())
        assert words.reference == len(reference.split())
        assert words.reference == words.hits + words.substitutions + words.deletions
        characters = count_character_errors(reference, hypothesis, "en")
        assert characters.errors == edit_distance(reference, hypothesis)


def test_corpus_rate_agrees_with_jiwer():
    references, hypotheses = random_texts(50), random_texts(50, seed=1)
    names = [f"u{i}" for i in range(50)]
    scored = score(
        dict(zip(names, references, strict=True)),
        dict(zip(names, hypotheses, strict=True)),
        normaliser="none",
    )
    total = summarise(scored)[TOTAL]
    assert total.words.rate == pytest.approx(jiwer.wer(references, hypotheses), abs=1e-12)
    assert total.characters.rate == pytest.approx(jiwer.cer(references, hypotheses), abs=1e-12)


def test_corpus_rate_is_sum_over_sum_not_mean_of_rates():
    scored = score({"a": "x", "b": "p q r"}, {"a": "y", "b": "p q r"}, normaliser="none")
    assert summarise(scored)[TOTAL].words.rate == 1 / 4


def test_empty_hypothesis_deletes_every_word():
    assert count_errors("a b c", "") == Counts(3, 0, 0, 3, 0)
    assert count_character_errors("ab c", "", "en") == Counts(4, 0, 0, 4, 0)


def test_words_for_an_empty_reference_are_insertions_and_are_counted():
    scored = score(
        {"a": "…", "b": "x y", "c": "!"}, {"a": "oh no", "b": "x y", "c": ""}, normaliser="basic"
    )
    total = summarise(scored)[TOTAL]
    assert total.words == Counts(2, 2, 0, 0, 2)
    assert (total.empty_references, total.empty_hypotheses, total.wrong_utterances) == (2, 0, 1)
    assert Counts(0, 0, 0, 0, 2).rate is None


def test_references_without_any_word_are_refused():
    with pytest.raises(UserError, match=r"none of the 1 references.*'basic'"):
        score({"a": "?"}, {"a": "x"}, normaliser="basic")


def test_languages_are_summed_apart_and_the_total_holds_them_all():
    scored = score(
        {"a": "x y", "b": "p q r", "c": "s"},
        {"a": "x z", "b": "p q r", "c": ""},
        normaliser="none",
        speakers={"a": "s1", "b": "s1", "c": "s2"},
        languages={"a": "es", "b": "en", "c": "en", "unused": "fr"},
    )
    parts = summarise(scored)
    assert list(parts) == ["en", "es", TOTAL]
    assert parts["en"].words == Counts(4, 3, 0, 1, 0)
    assert (parts["en"].speakers, parts["en"].utterances) == (2, 2)
    assert (parts["en"].empty_share, parts["en"].sentence_error_rate) == (0.5, 0.5)
    assert parts[TOTAL].words == Counts(6, 4, 1, 1, 0)
    assert (parts[TOTAL].speakers, parts[TOTAL].utterances) == (2, 3)


def test_languages_without_spaces_are_scored_in_characters_where_spaces_do_not_matter():
    assert all(map(scored_in_characters, ["zh-CN", "cmn_hans_cn", "ja", "th_th", "yue"]))
    assert not any(map(scored_in_characters, ["en", "ko_kr", "vi", "thx", "es_419"]))
    scored = score(
        {"a": "你 好吗", "b": "fine thanks"},
        {"a": "你好 呀", "b": "fine"},
        normaliser="basic",
        languages={"a": "zh", "b": "en"},
    )
    parts = summarise(scored)
    assert parts["zh"].metric == "CER"
    assert parts["zh"].primary == Counts(3, 2, 1, 0, 0)
    assert parts["en"].metric == "WER"
    assert parts[TOTAL].metric == "mixed"
    assert parts[TOTAL].primary == Counts(5, 3, 1, 1, 0)


def test_missing_and_extra_utterances_are_counted_and_named():
    references = {f"u{i}": "x" for i in range(6)}
    with pytest.raises(UserError, match=r"5 missing \(u1, u2, u3, …\); 1 not in .* \(v\)"):
        score(references, {"u0": "x", "v": "x"}, normaliser="none")
    with pytest.raises(UserError, match=r"utt2lang .* 1 missing \(u5\)"):
        languages = {f"u{i}": "en" for i in range(5)}
        score(references, references, normaliser="none", languages=languages)


def test_a_language_called_total_is_refused():
    scored = score({"a": "x"}, {"a": "x"}, normaliser="none", languages={"a": TOTAL})
    with pytest.raises(UserError, match="'total'"):
        summarise(scored)


@pytest.mark.parametrize("speaker", ["", "two words"])
def test_a_speaker_that_is_not_one_word_is_refused(speaker):
    with pytest.raises(UserError, match=rf"utt2spk .* for b it is '{speaker}' \(1 such"):
        score(
            {"a": "x", "b": "y"},
            {"a": "x", "b": "y"},
            normaliser="none",
            speakers={"a": "s", "b": speaker},
        )
