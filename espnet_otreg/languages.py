"""Languages by code, with the English names that prompts use."""

from espnet_otreg.errors import UserError

# ISO 639 codes of the languages of CoVoST-2, FLEURS and MLS, two letters where there are two
_TABLE = """
    af=Afrikaans am=Amharic ar=Arabic as=Assamese ast=Asturian az=Azerbaijani be=Belarusian
    bg=Bulgarian bn=Bengali bs=Bosnian ca=Catalan ceb=Cebuano ckb=Sorani_Kurdish cs=Czech cy=Welsh
    da=Danish de=German el=Greek en=English es=Spanish et=Estonian fa=Persian ff=Fula fi=Finnish
    fil=Filipino fr=French ga=Irish gl=Galician gu=Gujarati ha=Hausa he=Hebrew hi=Hindi hr=Croatian
    hu=Hungarian hy=Armenian id=Indonesian ig=Igbo is=Icelandic it=Italian ja=Japanese jv=Javanese
    ka=Georgian kam=Kamba kea=Kabuverdianu kk=Kazakh km=Khmer kn=Kannada ko=Korean ky=Kyrgyz
    lb=Luxembourgish lg=Ganda ln=Lingala lo=Lao lt=Lithuanian luo=Luo lv=Latvian mi=Maori
    mk=Macedonian ml=Malayalam mn=Mongolian mr=Marathi ms=Malay mt=Maltese my=Burmese nb=Norwegian
    ne=Nepali nl=Dutch nso=Northern_Sotho ny=Nyanja oc=Occitan om=Oromo or=Oriya pa=Punjabi
    pl=Polish ps=Pashto pt=Portuguese ro=Romanian ru=Russian sd=Sindhi sk=Slovak sl=Slovenian
    sn=Shona so=Somali sr=Serbian sv=Swedish sw=Swahili ta=Tamil te=Telugu tg=Tajik th=Thai
    tr=Turkish uk=Ukrainian umb=Umbundu ur=Urdu uz=Uzbek vi=Vietnamese wo=Wolof xh=Xhosa yo=Yoruba
    yue=Cantonese zh=Chinese zu=Zulu
"""
NAMES = dict(pair.replace("_", " ").split("=") for pair in _TABLE.split())
_OTHER_CODES = {"cmn": "zh", "iw": "he", "nn": "nb", "no": "nb", "in": "id", "jw": "jv"}


def language_name(code: str) -> str:
    """Return the English name; `zh-CN` and `cmn_hans_cn` are read by their first part."""
    first = code.replace("_", "-").split("-", 1)[0].lower()
    name = NAMES.get(_OTHER_CODES.get(first, first))
    if name is None:
        raise UserError(
            f"language {code!r} has no name for the prompt: use an ISO 639 code such as en or "
            "zh-CN in utt2lang, or give its name in prompt_conf.languages"
        )
    return name
