"""Languages by code: English name, expected scripts, and whether words are parted by spaces.

The one table of such facts: prompts take names from it, scoring the unit of an error rate and the
script that a hypothesis should be in. It covers CoVoST-2, FLEURS, MLS and most of Common Voice.
"""

import re
from functools import cache
from typing import NamedTuple

from espnet_otreg.errors import UserError

# By the scripts that the language is written in, named as in the names of Unicode's characters
# (CJK: Chinese characters; MYANMAR: Burmese). ISO 639 codes, two letters where there are two.
_TABLE = {
    "LATIN": """
        af=Afrikaans ast=Asturian az=Azerbaijani bm=Bambara br=Breton bs=Bosnian ca=Catalan
        ceb=Cebuano cs=Czech cy=Welsh da=Danish de=German en=English eo=Esperanto es=Spanish
        et=Estonian eu=Basque ff=Fula fi=Finnish fil=Filipino fo=Faroese fr=French fy=West_Frisian
        ga=Irish gd=Scottish_Gaelic gl=Galician gn=Guarani ha=Hausa hr=Croatian ht=Haitian_Creole
        hu=Hungarian ia=Interlingua id=Indonesian ig=Igbo is=Icelandic it=Italian jv=Javanese
        kab=Kabyle kam=Kamba kea=Kabuverdianu lb=Luxembourgish lg=Ganda ln=Lingala lt=Lithuanian
        ltg=Latgalian luo=Luo lv=Latvian mg=Malagasy mi=Maori ms=Malay mt=Maltese nb=Norwegian
        nl=Dutch nso=Northern_Sotho ny=Nyanja oc=Occitan om=Oromo pl=Polish pt=Portuguese
        rm=Romansh ro=Romanian rw=Kinyarwanda sk=Slovak sl=Slovenian sn=Shona so=Somali sq=Albanian
        su=Sundanese sv=Swedish sw=Swahili tk=Turkmen tl=Tagalog tn=Tswana tr=Turkish tw=Twi
        umb=Umbundu vi=Vietnamese wo=Wolof xh=Xhosa yo=Yoruba zu=Zulu
    """,
    "CYRILLIC": """
        ba=Bashkir be=Belarusian bg=Bulgarian cv=Chuvash kk=Kazakh ky=Kyrgyz mk=Macedonian
        mn=Mongolian ru=Russian sah=Yakut tg=Tajik tt=Tatar uk=Ukrainian
    """,
    "CYRILLIC LATIN": "sr=Serbian uz=Uzbek",
    "ARABIC": "ar=Arabic ckb=Sorani_Kurdish fa=Persian ps=Pashto ug=Uyghur ur=Urdu",
    "ARABIC DEVANAGARI": "sd=Sindhi",
    "LATIN ARABIC": "ku=Kurdish",
    "GURMUKHI ARABIC": "pa=Punjabi",
    "DEVANAGARI": "hi=Hindi mr=Marathi ne=Nepali sa=Sanskrit",
    "BENGALI": "as=Assamese bn=Bengali",
    "ETHIOPIC": "am=Amharic ti=Tigrinya",
    "GREEK": "el=Greek",
    "HEBREW": "he=Hebrew yi=Yiddish",
    "ARMENIAN": "hy=Armenian",
    "GEORGIAN": "ka=Georgian",
    "GUJARATI": "gu=Gujarati",
    "KANNADA": "kn=Kannada",
    "MALAYALAM": "ml=Malayalam",
    "ORIYA": "or=Oriya",
    "SINHALA": "si=Sinhala",
    "TAMIL": "ta=Tamil",
    "TELUGU": "te=Telugu",
    "HANGUL": "ko=Korean",
    "CJK": "wuu=Wu_Chinese yue=Cantonese zh=Chinese",
    "CJK LATIN": "nan=Min_Nan_Chinese",
    "CJK HIRAGANA KATAKANA": "ja=Japanese",
    "KHMER": "km=Khmer",
    "LAO": "lo=Lao",
    "MYANMAR": "my=Burmese",
    "THAI": "th=Thai",
    "TIBETAN": "bo=Tibetan dz=Dzongkha",
}
_WITHOUT_SPACES = frozenset(["bo", "dz", "ja", "km", "lo", "my", "nan", "th", "wuu", "yue", "zh"])
_OTHER_CODES = {"cmn": "zh", "eng": "en", "iw": "he", "nn": "nb", "no": "nb", "in": "id"}
_OTHER_CODES |= {"ji": "yi", "jw": "jv"}


class Language(NamedTuple):
    """What the project knows about a language."""

    code: str
    name: str  # in English
    scripts: frozenset[str]  # that it is written in, as Unicode calls them
    spaces: bool  # between words; without them a word error rate means little


LANGUAGES = {
    code: Language(
        code, name.replace("_", " "), frozenset(scripts.split()), code not in _WITHOUT_SPACES
    )
    for scripts, pairs in _TABLE.items()
    for code, name in (pair.split("=") for pair in pairs.split())
}


@cache
def find_language(code: str) -> Language | None:
    """Look a language up; `zh-CN` and `cmn_hans_cn` are read by their first part."""
    first = re.split("[-_]", code)[0].lower()
    return LANGUAGES.get(_OTHER_CODES.get(first, first))


def language_name(code: str) -> str:
    """Return the English name of a code."""
    language = find_language(code)
    if language is None:
        raise UserError(
            f"language {code!r} has no name for the prompt: use an ISO 639 code such as en or "
            "zh-CN in utt2lang, or give its name in prompt_conf.languages"
        )
    return language.name


def has_spaces(code: str) -> bool:
    """Tell whether words are parted by spaces; a language that is not in the table has them."""
    language = find_language(code)
    return language is None or language.spaces
