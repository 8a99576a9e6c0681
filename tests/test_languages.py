import pytest

from espnet_otreg.languages import LANGUAGES, find_language, has_spaces, language_name


def test_codes_with_regions_scripts_and_other_standards_name_the_same_language():
    for code in ("zh", "zh-CN", "cmn_hans_cn", "ZH_tw"):
        assert find_language(code) is LANGUAGES["zh"]
    for code, same in (("jpn", "ja"), ("tha", "th"), ("nor", "nb"), ("ger", "de"), ("arb", "ar")):
        assert find_language(code) is LANGUAGES[same]
    assert find_language("es_419") is LANGUAGES["es"]
    assert find_language("ckb_iq") is LANGUAGES["ckb"]
    assert find_language("xx") is None


@pytest.mark.parametrize(
    ("code", "word"),
    [
        *(("en", "house"), ("ru", "дом"), ("el", "σπίτι"), ("ar", "بيت"), ("he", "בית")),
        *(("hi", "घर"), ("bn", "ঘর"), ("pa", "ਘਰ"), ("gu", "ઘર"), ("or", "ଘର"), ("ta", "வீடு")),
        *(
            ("te", "ఇల్లు"),
            ("kn", "ಮನೆ"),
            ("ml", "വീട്"),
            ("si", "ගෙදර"),
            ("th", "บ้าน"),
            ("lo", "ເຮືອນ"),
        ),
        *(
            ("my", "အိမ်"),
            ("km", "ផ្ទះ"),
            ("bo", "ཁང་པ"),
            ("ka", "სახლი"),
            ("hy", "տուն"),
            ("am", "ቤት"),
        ),
        *(
            ("ko", "집"),
            ("ja", "いえ"),
            ("ja", "家"),
            ("ja", "ハウス"),
            ("zh", "房子"),
            ("sr", "kuća"),
        ),
        *(("sr", "кућа"), ("vi", "nhà"), ("yo", "ilé")),
    ],
)
def test_the_expected_script_is_that_of_a_word_of_the_language(code, word):
    from espnet_otreg.scoring.failures import WRONG_SCRIPT, failure_modes

    assert WRONG_SCRIPT not in failure_modes("", word, code)
    other = "房子" if code != "zh" and code != "ja" else "дом"
    assert WRONG_SCRIPT in failure_modes(word, other, code)


def test_languages_without_spaces_are_few_and_unknown_ones_have_them():
    assert not any(
        map(has_spaces, ["zh-CN", "cmn_hans_cn", "ja", "th_th", "yue", "lo", "km", "my"])
    )
    assert all(map(has_spaces, ["en", "ko_kr", "vi", "thx", "es_419", "und"]))
    assert language_name("nso_za") == "Northern Sotho"
