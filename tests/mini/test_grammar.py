import random
from itertools import islice

import pytest

from espnet_otreg.mini import grammar
from espnet_otreg.mini.build import sentences
from espnet_otreg.mini.grammar import SLOTS, SPLITS, Sentence
from espnet_otreg.mini.lexicon import LANGUAGES
from espnet_otreg.mini.shapes import SHAPES


def row(slot, english):
    """The number of the row whose English cell starts with these words."""
    wanted = tuple(english.split())
    return next(i for i, cells in enumerate(SLOTS[slot]) if cells[0][: len(wanted)] == wanted)


def sentence(shape_start, **slots):
    shape = next(i for i, texts in enumerate(SHAPES) if texts[0].startswith(shape_start))
    rows = ((slot, row(slot, english)) for slot, english in sorted(slots.items()))
    return Sentence(shape, tuple(rows))


def drawn(split, count, seed=1):
    return list(islice(grammar.draw_split(split, random.Random(seed)), count))


def test_a_sentence_says_the_same_in_three_languages():
    texts = sentence(
        "{u}", u="tomorrow", p="kin sister", m="wants", v="buy", t="lamp", j="red"
    ).texts
    assert texts["en"] == "tomorrow my sister wants to buy a red lamp"
    assert texts["es"] == "mañana mi hermana quiere comprar una lámpara roja"
    assert texts["fr"] == "demain ma sœur veut acheter une lampe rouge"


def test_articles_contract_and_elide():
    texts = sentence("{p.the} goes", p="noun man", l="at hospital", d="at noon").texts
    assert texts["es"] == "el hombre va al hospital al mediodía"
    assert texts["fr"] == "l'homme va à l'hôpital à midi"
    texts = sentence("where is", t="umbrella", j="expensive", p="noun doctor").texts
    assert texts["en"] == "where is the expensive umbrella of the doctor"
    assert texts["es"] == "dónde está el paraguas caro del médico"
    assert texts["fr"] == "où est le parapluie cher du médecin"
    texts = sentence("{p.the} has", p="name emma", n="two", t="key", j="blue").texts
    assert texts["es"] == "emma tiene dos llaves azules"
    assert texts["fr"] == "emma a deux clés bleues"


def test_a_becomes_an_before_a_vowel():
    texts = sentence(
        "{p.the} {g.past} {t.a}", p="noun king", g="give", t="umbrella", q="name david"
    ).texts
    assert texts["en"] == "the king gave an umbrella to david"


def test_spanish_says_passing_states_with_estar():
    broken = sentence("{t.this}", t="chair", j="broken").texts["es"]
    round_ = sentence("{t.this}", t="chair", j="round").texts["es"]
    assert (broken, round_) == ("esta silla está muy rota", "esta silla es muy redonda")


def test_written_text_has_capitals_and_a_final_mark():
    asked = sentence("where is", t="key", j="new", p="name laura")
    assert grammar.written(asked, "en") == "Where is the new key of Laura?"
    assert grammar.written(asked, "es") == "¿Dónde está la llave nueva de Laura?"
    assert grammar.written(asked, "fr") == "Où est la clé neuve de Laura ?"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_each_language_has_at_least_250_word_forms(lang):
    assert len(grammar.vocabulary(lang)) >= 250


def test_there_are_enough_shapes_and_sentences():
    assert len(SHAPES) >= 20
    total = 0
    for shape in SHAPES:
        product = 1
        for slot in grammar._slots(shape[0]):
            product *= len(SLOTS[slot])
        total += product
    assert total >= 10**6


def test_every_shape_uses_the_same_slots_in_all_languages():
    for shape in SHAPES:
        slots = [set(grammar._slots(text)) for text in shape]
        assert slots[0] == slots[1] == slots[2], shape


def test_no_two_rows_of_a_table_share_a_cell():
    for slot, rows in SLOTS.items():
        for column, lang in enumerate(LANGUAGES):
            cells = [cells[column] for cells in rows]
            assert len(set(cells)) == len(cells), (slot, lang)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_sentence_of_one_split_is_in_no_other_whatever_the_seed(lang):
    texts = {
        split: {item.texts[lang] for seed in (1, 2) for item in drawn(split, count, seed)}
        for split, count in zip(SPLITS, (2500, 300, 300), strict=True)
    }
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["dev"]
    assert not texts["dev"] & texts["test"]


def test_sentences_of_a_split_differ_and_have_four_to_ten_words():
    items = drawn("train", 900)
    assert len(set(items)) == len({item.texts["en"] for item in items}) == len(items)
    lengths = {len(text.split()) for item in items for text in item.texts.values()}
    assert lengths <= set(range(4, 11))


def test_words_of_a_table_are_equally_frequent_in_training():
    counts = [0] * len(SLOTS["t"])
    for item in drawn("train", 900):
        for slot, number in item.rows:
            if slot == "t":
                counts[number] += 1
    assert min(counts) > 0.6 * max(counts)


def test_fleurs_reads_the_same_sentences_in_all_languages_and_some_twice():
    english = sentences("fleurs", "en", "train", 50, 0)
    assert english == sentences("fleurs", "fr", "train", 50, 0)
    numbers = [number for number, _ in english]
    assert len(set(numbers)) == 40
    by_number = {}
    for number, item in english:
        assert by_number.setdefault(number, item) == item


def test_common_voice_has_other_sentences_in_each_language():
    assert sentences("covost2", "en", "train", 20, 0) != sentences("covost2", "es", "train", 20, 0)
