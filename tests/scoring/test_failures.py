import random

import pytest

from espnet_otreg.scoring.failures import (
    EMPTY,
    MODES,
    REPETITION,
    RUNAWAY,
    UNRELATED,
    WRONG_SCRIPT,
    failure_modes,
)
from espnet_otreg.scoring.wer import TOTAL, score, summarise

CASES = {
    "nothing was written": ("a b", "", "en", [EMPTY]),
    "white space is nothing": ("a b", "  ", "en", [EMPTY]),
    "nothing was said": ("", "", "en", []),
    "single wrong words": ("the cat sat", "the bat sat down", "en", []),
    "a word four times": ("what a day", "what a day day day day", "en", [REPETITION]),
    "a word three times": ("what a day", "what a day day day", "en", []),
    "a phrase three times": ("thank you", "thank you thank you thank you", "en", [REPETITION]),
    "a phrase twice": ("thank you", "thank you thank you", "en", []),
    "a loop that the reference has": ("no no no no no", "no no no no", "en", []),
    "longer than the reference's loop": ("no no no no", "no no no no no no no", "en", [REPETITION]),
    "a loop inside a word": ("ha", "ahahahahaha", "en", [REPETITION]),
    "a stretched letter": ("so", "soooooooo", "en", [REPETITION]),
    "a number's zeros": ("one million", "1000000", "en", []),
    "digits read one by one": ("double o seven", "0 0 0 0 7", "en", []),
    "a loop without spaces": ("你好吗", "谢谢观看谢谢观看谢谢观看", "zh-CN", [REPETITION]),
    "one character in a loop": ("你好吗", "好好好好好好", "cmn_hans_cn", [REPETITION]),
    "spaces hide no loop": ("ที่นี่บ้าน", "บ้าน บ้าน บ้าน บ้าน", "th", [REPETITION]),
    "Latin for Cyrillic": ("привет мир", "privet mir", "ru", [WRONG_SCRIPT]),
    "Cyrillic for Latin": ("hello world", "хелло ворлд", "en", [WRONG_SCRIPT]),
    "Chinese for Japanese": ("ありがとう", "谢谢", "ja", []),  # Japanese has Chinese characters
    "kana for Chinese": ("谢谢", "ありがと", "zh", [WRONG_SCRIPT]),
    "a name in its own script": ("привет мир из омска", "привет мир из omska", "ru", []),
    "a script that the reference has": ("ok iPhone", "iPhone", "ru", []),
    "either script of Serbian": ("добар дан", "dobar dan", "sr", []),
    "digits have no script": ("двадцать", "20", "ru", []),
    "an unknown language's reference decides": ("hello", "привет", "xx", [WRONG_SCRIPT]),
    "nothing is known": ("", "привет", "xx", []),
    "five words more than twice": ("a b", "a b c d e f g h i", "en", []),
    "six words more than twice": ("a b", "a b c d e f g h i j", "en", [RUNAWAY]),
    "words out of silence": ("", "thanks for watching this video today", "en", [RUNAWAY]),
    "long without spaces": ("你好", "今天天气很好我们一起去公园玩吧", "zh", [RUNAWAY]),
    "fluent about something else": ("the cat sat down", "she sells red shells", "en", [UNRELATED]),
    "one word in common": ("the cat sat down", "the best of all", "en", []),
    "two words missed by chance": ("the cat", "a hat", "en", []),
    "nothing in answer to three words": ("the cat sat", "", "en", [EMPTY]),
    "no two characters in common": ("今天天气很好", "我喜欢吃苹果", "zh", [UNRELATED]),
    "two characters in common": ("今天天气很好", "明天天冷", "zh", []),
    "short without spaces": ("你好吗朋友", "今天很冷啊", "zh", []),
    "several at once": ("да", "yes " * 9, "ru", [REPETITION, WRONG_SCRIPT, RUNAWAY]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hypothesis_shows_the_modes_that_it_should(case):
    reference, hypothesis, language, expected = CASES[case]
    assert failure_modes(reference, hypothesis, language) == tuple(expected)


@pytest.mark.parametrize("case", CASES)
def test_a_hypothesis_equal_to_its_reference_shows_none(case):
    for text in CASES[case][:2]:
        for language in ("en", "zh", "ru", "xx"):
            assert failure_modes(text, text, language) == ()


def test_a_few_wrong_words_in_many_are_no_failure():
    generator = random.Random(0)
    vocabulary = [f"{a}{b}{c}" for a in "bdgkt" for b in "aeiou" for c in "lmnrs"]
    for _ in range(300):
        words = generator.choices(vocabulary, k=generator.randint(5, 20))
        heard = [generator.choice(vocabulary) if generator.random() < 0.2 else w for w in words]
        assert failure_modes(" ".join(words), " ".join(heard), "en") == ()


def test_any_text_put_in_a_loop_is_a_repetition():
    generator = random.Random(0)
    vocabulary = [f"{a}{b}{c}" for a in "bdgkt" for b in "aeiou" for c in "lmnrs"]
    for size in range(1, 9):
        phrase = generator.sample(vocabulary, size)
        for start in range(size):  # wherever in its turn the loop begins
            turned = phrase[start:] + phrase[:start]
            modes = failure_modes(" ".join(phrase), " ".join(["um", *turned * 4]), "en")
            assert REPETITION in modes


def test_rates_are_shares_of_the_utterances_and_do_not_depend_on_their_order():
    references = {"a": "x y", "b": "x y", "c": "привет", "d": "да"}
    hypotheses = {"a": "", "b": "x y", "c": "privet", "d": "нет нет нет нет"}
    languages = {"a": "en", "b": "en", "c": "ru", "d": "ru"}
    scored = score(references, hypotheses, normaliser="none", languages=languages)
    parts = summarise(scored)
    assert parts == summarise(scored[::-1])
    assert parts["en"].failures == dict(zip(MODES, (1, 0, 0, 0, 0), strict=True))
    assert parts["ru"].failures == dict(zip(MODES, (0, 1, 1, 0, 0), strict=True))
    assert parts[TOTAL].failures == dict(zip(MODES, (1, 1, 1, 0, 0), strict=True))
    assert parts[TOTAL].failures[EMPTY] == parts[TOTAL].empty_hypotheses
