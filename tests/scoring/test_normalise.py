import sys
import unicodedata

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.normalise import (
    NORMALISERS,
    _whisper,
    applied,
    get_normaliser,
)

CASES = {
    "case and punctuation go": ("¡Hola, Señor!", "hola señor"),
    "a hyphen parts words": ("a well-known trade–off", "a well known trade off"),
    "an apostrophe inside a word stays": ("L’homme n'est", "l'homme n'est"),
    "apostrophes around words go": ("'Tis the dogs' 'bone'", "tis the dogs bone"),
    "doubled apostrophes are quotation marks": ("''quoted'' rock''n", "quoted rock n"),
    "an accent typed as apostrophe is one": ("don´t don`t", "don't don't"),
    "symbols go": ("5 € + 3 $ = ∞ ©", "5 3"),
    "full-width forms are folded": ("ＡＢＣ１２", "abc12"),
    "ligatures and sharp s are folded": ("ﬁn Straße", "fin strasse"),
    "Turkish capital dotted i is an i": ("İstanbul", "istanbul"),
    "Greek final sigma is a sigma": ("ΛΌΓΟΣ λόγος", "λόγοσ λόγοσ"),
    "Hindi vowel signs and virama stay": ("हिन्दी।", "हिन्दी"),
    "Tamil vowel signs stay": ("தமிழ், மொழி!", "தமிழ் மொழி"),
    "Thai tone marks stay": ("ที่นี่", "ที่นี่"),
    "Thai AM is one vowel, its tone before it": ("น้ำ นํ้า นำ", "น้ำ น้ำ นำ"),
    "Lao AM is one vowel": ("ນ້ຳ ນໍ້າ", "ນ້ຳ ນ້ຳ"),
    "Arabic stretching goes": ("كتـــاب", "كتاب"),
    "Arabic short vowels stay": ("مَرْحَبًا؟", "مَرْحَبًا"),
    "invisible joiners go": ("\ufeffक्\u200dष soft\u00adhyphen", "क्ष softhyphen"),
    "a free-standing accent leaves nothing": ("a ¨ b ¨c", "a b c"),
    "white space of any kind is one space": ("\u3000a\u00a0\u2028b\t c ", "a b c"),
    "only punctuation is empty": ("?! …", ""),
    "composed and decomposed accents agree": ("e\u0301te\u0301", "été"),
}


@pytest.mark.parametrize("case", CASES)
def test_basic_normaliser(case):
    text, expected = CASES[case]
    assert get_normaliser("basic")(text, "xx") == expected


@pytest.mark.parametrize("language", ["tr", "tur", "az"])
def test_basic_knows_the_dotless_i(language):
    assert NORMALISERS["basic"]("IRMAK İZMİR I\u0307", language) == "ırmak izmir i"
    assert NORMALISERS["basic"]("IRMAK", "en") == "irmak"


@pytest.mark.parametrize("text", [text for text, _ in CASES.values()])
@pytest.mark.parametrize("name", ["none", "basic", "whisper_basic"])
def test_normalising_twice_changes_nothing(name, text):
    once = NORMALISERS[name](text, "xx")
    assert NORMALISERS[name](once, "xx") == once


def test_none_changes_white_space_only():
    assert get_normaliser("none")("  Don’t,  STOP! ", "en") == "Don’t, STOP!"


def test_unknown_normaliser_names_the_choices():
    with pytest.raises(UserError, match=r"'whispr'.*none, basic, whisper_basic, whisper_english"):
        get_normaliser("whispr")


@pytest.mark.parametrize(
    ("language", "text"),
    [("hi", "हिन्दी में"), ("ta", "தமிழ் மொழி"), ("th", "ที่นี่"), ("my", "မြန်မာ")],
)
def test_basic_keeps_vowel_signs_and_tone_marks_where_whisper_basic_breaks_words(language, text):
    assert get_normaliser("basic")(text, language) == text
    broken = get_normaliser("whisper_basic")(text, language)
    assert not any(unicodedata.category(character)[0] == "M" for character in broken)
    assert len(broken.split()) > len(text.split())  # where a mark was, a word now ends
    assert "".join(broken.split()) == "".join(c for c in text if unicodedata.category(c) == "Lo")


def test_whisper_english_spells_out_and_other_languages_get_whisper_basic():
    english, basic = get_normaliser("whisper_english"), get_normaliser("whisper_basic")
    text = "Mr. Smith's colour isn't twenty-five [noise]"
    for code in ("en", "en-GB", "en_us", "eng"):
        assert english(text, code) == "mister smith is color is not 25"
        assert applied("whisper_english", code) == "whisper_english"
    german = "Größe: fünf-und-zwanzig (Hm) isn't"
    for code in ("de", "xx"):
        assert english(german, code) == basic(german, code) == "größe fünf und zwanzig isn t"
        assert applied("whisper_english", code) == "whisper_basic"
    assert applied("basic", "de") == "basic"


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    _whisper.cache_clear()
    monkeypatch.setitem(sys.modules, "whisper_normalizer.basic", None)
    with pytest.raises(UserError, match=r"pip install 'espnet_otreg\[whisper\]'"):
        get_normaliser("whisper_english")


OPEN_ASR = {
    "accents stay": ("de", "Schöne Straße, äh!", "schöne straße äh"),
    "numbers become words": ("de", "am 3. Mai", "am drei mai"),
    "thousands are one number however they are parted": (
        "es",
        "10.000 y 10 000",
        "diez mil y diez mil",
    ),
    "brackets go with what is in them": ("fr", "oui [rires] (bas) non", "oui non"),
    "vowel signs stay": ("hi", "हिन्दी।", "हिन्दी"),
    "an apostrophe parts words": ("fr", "l'homme", "l homme"),
    "a language that is not counted in keeps its digits": ("xx", "3 Bar", "3 bar"),
    "English is Whisper's English": (
        "en",
        "It's the colour of 20 cats",
        "it is the color of 20 cats",
    ),
}


@pytest.mark.parametrize("case", OPEN_ASR)
def test_open_asr_normalises_as_the_leaderboards_multilingual_tables(case):
    pytest.importorskip("num2words")
    language, text, expected = OPEN_ASR[case]
    assert get_normaliser("open_asr")(text, language) == expected


def test_open_asr_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "num2words", None)
    with pytest.raises(UserError, match=r"num2words.*espnet_otreg\[open_asr\]"):
        get_normaliser("open_asr")
