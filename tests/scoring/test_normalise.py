import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.normalise import NORMALISERS, get_normaliser

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


@pytest.mark.parametrize("text", [text for text, _ in CASES.values()])
@pytest.mark.parametrize("name", NORMALISERS)
def test_normalising_twice_changes_nothing(name, text):
    once = NORMALISERS[name](text, "xx")
    assert NORMALISERS[name](once, "xx") == once


def test_none_changes_white_space_only():
    assert get_normaliser("none")("  Don’t,  STOP! ", "en") == "Don’t, STOP!"


def test_unknown_normaliser_names_the_choices():
    with pytest.raises(UserError, match=r"'whispr'.*none, basic"):
        get_normaliser("whispr")
