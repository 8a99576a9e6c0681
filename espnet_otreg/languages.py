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
# Three letters, old codes, and single languages of a group that the table has as one.
_OTHERS = """
    afr=af alb=sq als=sq amh=am ara=ar arb=ar arm=hy asm=as aze=az azj=az bak=ba bam=bm
    baq=eu bel=be ben=bn bod=bo bos=bs bre=br bul=bg bur=my cat=ca ces=cs chi=zh chv=cv
    cmn=zh cym=cy cze=cs dan=da deu=de dut=nl dzo=dz ekk=et ell=el eng=en epo=eo est=et
    eus=eu fao=fo fas=fa fin=fi fra=fr fre=fr fry=fy fuc=ff ful=ff gaz=om geo=ka ger=de
    gla=gd gle=ga glg=gl gre=el grn=gn guj=gu hat=ht hau=ha heb=he hin=hi hrv=hr hun=hu
    hye=hy ibo=ig ice=is in=id ina=ia ind=id isl=is ita=it iw=he jav=jv ji=yi jpn=ja jw=jv
    kan=kn kat=ka kaz=kk khk=mn khm=km kin=rw kir=ky kmr=ku kor=ko kur=ku lao=lo lav=lv
    lin=ln lit=lt ltz=lb lug=lg lvs=lv mac=mk mal=ml mao=mi mar=mr may=ms mkd=mk mlg=mg
    mlt=mt mon=mn mri=mi msa=ms mya=my nep=ne nld=nl nn=nb nno=nb no=nb nob=nb nor=nb npi=ne
    nya=ny oci=oc ori=or orm=om ory=or pan=pa pbt=ps per=fa pes=fa plt=mg pol=pl por=pt
    pus=ps roh=rm ron=ro rum=ro rus=ru san=sa sin=si slk=sk slo=sk slv=sl sna=sn snd=sd
    som=so spa=es sqi=sq srp=sr sun=su swa=sw swe=sv swh=sw tam=ta tat=tt tel=te tgk=tg
    tgl=tl tha=th tib=bo tir=ti tsn=tn tuk=tk tur=tr twi=tw uig=ug ukr=uk urd=ur uzb=uz
    uzn=uz vie=vi wel=cy wol=wo xho=xh ydd=yi yid=yi yor=yo zho=zh zsm=ms zul=zu
"""
_OTHER_CODES = dict(pair.split("=") for pair in _OTHERS.split())


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
