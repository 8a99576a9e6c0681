"""FLEURS: the same sentences read in 102 languages.

Source: https://huggingface.co/datasets/google/fleurs (the repository's `data` folder).
Licence: CC BY 4.0. Citation: A. Conneau et al., "FLEURS: Few-shot Learning Evaluation of Universal
Representations of Speech", arXiv 2205.12446.

Layout (ROOT may also be the folder above `fleurs/`, or above folders of unpacked archives)::

    ROOT/data/<code>/{train,dev,test}.tsv           no header: sentence id, wav name, raw text,
                                                    normalised text, characters, samples, gender
    ROOT/data/<code>/audio/{train,dev,test}.tar.gz  or unpacked: audio/<split>/*.wav, used where
                                                    none of the table's recordings is missing
    ROOT/data/<code>/speakers.tsv                   not FLEURS' own: wav name, speaker

FLEURS names no speakers, only a gender, and one sentence id has up to three readers. Every
utterance is therefore its own speaker: nothing is clustered that might be two people. Where
somebody knows better, as the mini corpora do, a table `speakers.tsv` says who speaks.
"""

import logging
import os
from collections.abc import Collection
from pathlib import Path

from espnet_otreg.corpora.archive import unpack
from espnet_otreg.corpora.clip_tables import read_pairs
from espnet_otreg.corpora.record import (
    Prepared,
    Record,
    Rejected,
    absent,
    fault,
    make_utt_id,
)
from espnet_otreg.errors import UserError

NAME = "fleurs"
VARIABLE = "FLEURS"
OPTIONS = ("text_column",)
SPLITS = ("train", "dev", "test")
SPEAKERS = "speakers.tsv"
COLUMNS = 7
WAV_COLUMN = 1
TEXT_COLUMNS = {"raw": 2, "normalised": 3}
CODES = """
    af_za am_et ar_eg as_in ast_es az_az be_by bg_bg bn_in bs_ba ca_es ceb_ph ckb_iq cmn_hans_cn
    cs_cz cy_gb da_dk de_de el_gr en_us es_419 et_ee fa_ir ff_sn fi_fi fil_ph fr_fr ga_ie gl_es
    gu_in ha_ng he_il hi_in hr_hr hu_hu hy_am id_id ig_ng is_is it_it ja_jp jv_id ka_ge kam_ke
    kea_cv kk_kz km_kh kn_in ko_kr ky_kg lb_lu lg_ug ln_cd lo_la lt_lt luo_ke lv_lv mi_nz mk_mk
    ml_in mn_mn mr_in ms_my mt_mt my_mm nb_no ne_np nl_nl nso_za ny_mw oc_fr om_et or_in pa_in
    pl_pl ps_af pt_br ro_ro ru_ru sd_in sk_sk sl_si sn_zw so_so sr_rs sv_se sw_ke ta_in te_in
    tg_tj th_th tr_tr uk_ua umb_ao ur_pk uz_uz vi_vn wo_sn xh_za yo_ng yue_hant_hk zu_za
"""
ALIASES = {"zh": "cmn_hans_cn", "zh-CN": "cmn_hans_cn", "no": "nb_no"}


def prepare(
    root: Path, language: str, split: str, work: Path, *, text_column: str = "normalised"
) -> Prepared:
    """List one language and split, unpacking its archive once under `work`."""
    if split not in SPLITS:
        raise UserError(f"FLEURS has no split '{split}'; its splits are {', '.join(SPLITS)}")
    if text_column not in TEXT_COLUMNS:
        raise UserError(f"text column '{text_column}': expected {' or '.join(TEXT_COLUMNS)}")
    home = _language_folder(root, language)
    table = home / f"{split}.tsv"
    if not table.is_file():
        raise absent(f"FLEURS' table of '{language}' {split}", [table], VARIABLE)
    label = home.name.split("_")[0] if language == home.name else language
    texts, refused, rejected, notes = read_pairs(
        table, COLUMNS, WAV_COLUMN, TEXT_COLUMNS[text_column]
    )
    clips = _clips(home, split, work, texts)
    speakers = _speakers(home / SPEAKERS, texts)
    records = []
    for name, text in sorted(texts.items()):
        utt_id = make_utt_id(NAME, label, split, Path(name).stem)
        audio = f"{clips}/{name}"
        reason = fault(text, name, audio)
        if reason:
            rejected.append(Rejected(utt_id, reason))
        else:
            records.append(Record(utt_id, speakers.get(name, utt_id), label, text, audio))
    # the archives hold recordings that the tables leave out: counted, as none of them was lost
    unlisted = {path.name for path in clips.glob("[!.]*.wav")} - texts.keys() - refused
    if unlisted:
        notes["recordings that are not in the table"] += len(unlisted)
    return Prepared(records, rejected, notes)


def _speakers(path: Path, clips: Collection[str]) -> dict[str, str]:
    """Read who speaks each of the recordings; nothing where there is no such table."""
    if not path.is_file():
        return {}
    speakers: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        name, sign, speaker = line.partition("\t")
        if not sign or not speaker or speaker.split() != [speaker] or name in speakers:
            raise UserError(
                f"{path}, line {number}: expected a wav name, a tab and its speaker, one word, and "
                f"each recording once; got {line!r}"
            )
        speakers[name] = speaker
    if missing := sorted(set(clips) - speakers.keys()):
        raise UserError(
            f"{path} names no speaker of {len(missing)} recordings, first {missing[0]}: complete "
            "it, or remove it, and each utterance is a speaker of its own"
        )
    return speakers


def has_language(language: str) -> bool:
    """Whether it is one of the 102, by FLEURS' code or the first part of it."""
    first = _code(language).split("_")[0]
    return any(code.split("_")[0] == first for code in CODES.split())


def full_code(language: str) -> str:
    """Return FLEURS' own code of one of its languages, such as es_419 for es."""
    wanted = _code(language)
    for code in CODES.split():
        if code == wanted or code.startswith(f"{wanted}_"):
            return code
    first = wanted.split("_")[0]
    known = [code for code in CODES.split() if code.split("_")[0] == first]
    raise UserError(f"FLEURS has no '{language}'; of that language it has {', '.join(known)}")


def languages(root: Path, *, text_column: str = "normalised") -> list[str]:
    """List the languages present, by their short codes; all of them have both texts."""
    short = {code: name for name, code in reversed(ALIASES.items())}
    folders = [folder.name for place in _places(root) for folder in sorted(place.iterdir())]
    return [short.get(name, name.split("_")[0]) for name in folders if name in CODES.split()]


def _places(root: Path) -> list[Path]:
    usual = [place for place in (root / "data", root / "fleurs" / "data") if place.is_dir()]
    deeper = [place for name in ("*/data", "*/fleurs/data") for place in sorted(root.glob(name))]
    return usual or [place for place in deeper if place.is_dir()]


def _code(language: str) -> str:
    return ALIASES.get(language, language.replace("-", "_").lower())


def _language_folder(root: Path, language: str) -> Path:
    """Find the folder of a code such as 'es_419', or of 'es', whose region is then completed."""
    places, wanted = _places(root), _code(language)
    found = []
    for place in places:
        exact = [place / wanted] if (place / wanted).is_dir() else []
        found += exact or sorted(place.glob(f"{wanted}_*"))
    if len({path.name for path in found}) > 1:
        codes = ", ".join(path.name for path in found)
        raise UserError(f"FLEURS language '{language}' could be {codes}: name one of them.")
    if len(found) > 1:
        listed = " and ".join(map(str, found))
        raise UserError(f"FLEURS' '{language}' is in {listed}: set {VARIABLE} to one's folder.")
    if found:
        return found[0]
    name = wanted if "_" in wanted else f"{wanted}_*"
    looked = [place / name for place in places] or [root / "data", root / "fleurs" / "data"]
    present = [path.name for place in places for path in sorted(place.iterdir()) if path.is_dir()]
    hint = f"Languages present: {' '.join(present)}." if present else ""
    raise absent(f"FLEURS' folder of '{language}'", looked, VARIABLE, hint)


def _clips(home: Path, split: str, work: Path, listed: Collection[str]) -> Path:
    """Return the folder of wav files, unpacking the archive unless somebody has done so."""
    folder, archive = home / "audio" / split, home / "audio" / f"{split}.tar.gz"
    if folder.is_dir():
        present = set(os.listdir(folder))
        lacking = sorted(name for name in listed if name not in present)
        if not lacking or not archive.is_file():
            return folder
        logging.warning(
            "%s lacks %d of %d recordings, such as %s: unpacking %s elsewhere instead",
            *(folder, len(lacking), len(listed), lacking[0], archive),
        )
    if not archive.is_file():
        raise absent(f"FLEURS' audio of {home.name} {split}", [archive, folder], VARIABLE)
    return unpack(archive, work / home.name / split)
