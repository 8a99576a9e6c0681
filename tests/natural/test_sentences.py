import pytest

from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from espnet_otreg.natural import SIZES
from espnet_otreg.natural.sentences import Sentence, deal, fault, find
from tests.support import packages

SAID = "The fish is in the aquarium."


def texts(root, lines=(), cookies=()):
    packages.script(root, "cave", "en", list(lines) or [("a", "font_big", SAID)])
    return packages.fortunes(root, list(cookies) or ["There is no time like now."])


def found(root, language="en"):
    return [sentence.text for sentence in find(root, language).sentences]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("We are the only ones here.", ""),
        ("Don't you see, it's well-known!", ""),
        ("He came in at 7 o'clock.", "number"),
        ("Go to the left (or right) now.", "sign"),
        ("He said -- and he knew -- no.", "sign"),
        ("and then he went home again.", "fragment"),
        ("And then he went home again", "fragment"),
        ("Not long enough.", "length"),
        ("Word " * 21 + "end.", "length"),
        ("This is what IBM sells now.", "capitals"),
        ("Q: What is it then really?", "abbreviation"),
        ("That is J. Random Hacker there.", "abbreviation"),
        ("D-don't you want that b-b-beard?", "stutter"),
        ("On a tous un peu peur de le dire.", "other language"),
        ("This is the word слово again.", "other script"),
        ("A broken \N{REPLACEMENT CHARACTER} is in this one.", "not UTF-8"),
    ],
)
def test_a_sentence_is_spoken_where_it_can_be_read_in_one_way(text, reason):
    assert fault(text, "en") == reason


@pytest.mark.parametrize(
    ("text", "language"),
    [("¿Por qué no nos mueves un poco?", "es"), ("Qu'est-ce que c'est que ça ?", "fr")],
)
def test_marks_of_other_languages_are_no_fault(text, language):
    assert not fault(text, language)


def test_lines_are_cut_into_sentences_and_who_said_a_cookie_is_cut_off(tmp_path):
    cookie = 'A rose is a rose.  "It is what\nit is."\n\t\t-- Gertrude Stein is the author.'
    line = ("a", "font_big", "What is that over there? I can see it now.")
    assert found(texts(tmp_path, [line], [cookie])) == [
        "What is that over there?",
        "I can see it now.",
        "A rose is a rose.",
        "It is what it is.",
    ]


def test_a_line_of_one_sentence_keeps_its_english(tmp_path):
    lines = [
        ("a", "font_big", "What is that?", "Mais qu'est-ce que c'est?"),
        ("b", "font_big", "Look. It is a fish.", "Regarde donc bien là. C'est bien un poisson."),
    ]
    packages.script(tmp_path, "cave", "fr", lines)
    assert [(s.text, s.translation) for s in find(tmp_path, "fr").sentences] == [
        ("Mais qu'est-ce que c'est?", "What is that?"),
        ("Regarde donc bien là.", ""),
        ("C'est bien un poisson.", ""),
    ]


def test_what_a_prompt_says_and_what_was_there_already_is_left_out(tmp_path):
    root = texts(tmp_path, cookies=["the FISH is in the aquarium.", f"{SAID} {SAID}"])
    packages.prompts(root, {"vm-goodbye": "Hello you.", "agent-incorrect": "There is no time!"})
    packages.fortunes(root, ["There is no time."], "work")
    result = find(root, "en")
    assert [sentence.text for sentence in result.sentences] == [SAID]
    assert by_category(result.rejected) == {"fragment": 1, "repeated": 2, "a prompt": 1}
    assert result.compared == 2


def test_a_package_that_is_missing_is_named(tmp_path):
    packages.script(tmp_path, "cave", "en", [("a", "font_big", SAID)])
    with pytest.raises(UserError, match="apt-get download fortunes; dpkg -x"):
        find(tmp_path, "en")


def test_splits_share_no_sentence_and_depend_on_seed_and_words_alone():
    sentences = [Sentence(f"Number {'x' * n} is a word.", "", "o") for n in range(30)]
    dealt = deal(sentences, "en", (12, 5, 8), 0)
    assert {split: len(own) for split, own in dealt.items()} == {"train": 12, "dev": 5, "test": 8}
    assert len({s.text for own in dealt.values() for s in own}) == 25
    assert deal(sentences[::-1], "en", (12, 5, 8), 0) == dealt
    assert deal(sentences, "en", (12, 5, 8), 1) != dealt
    assert deal(sentences, "en", (99, 5, 8), 0)["test"] == dealt["test"]
    assert len(deal(sentences, "en", (99, 5, 8), 0)["train"]) == 17
    assert deal(sentences, "en", (4, 5, 8), 0)["train"] == dealt["train"][:4]


def test_sizes_of_the_corpus_are_tested_on_the_same_sentences_and_an_hour_is_a_part_of_three():
    for language in SIZES["full"]:
        hour, full, large = (SIZES[size][language] for size in ("hour", "full", "large"))
        assert hour[1:] == full[1:] == large[1:] and hour[0] < full[0] <= large[0]
