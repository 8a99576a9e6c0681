"""Asterisk's core sounds: the prompts of a telephone exchange, read by people.

Source: Debian's packages asterisk-core-sounds-<language>-g722 (recordings) and
asterisk-core-sounds-<language> (texts), version 1.6.1, of https://www.asterisk.org. Licence: CC
BY-SA 3.0 (en, es, fr), CC BY 3.0 (it, ru); who is to be named is in `VOICES`, and in the manifest.

Layout, as the packages unpack (ROOT may also hold `usr/` of all languages together)::

    ROOT/asterisk-<language>/usr/share/asterisk/sounds/<voice>/<key>.g722
    ROOT/asterisk-<language>/usr/share/doc/asterisk-core-sounds-<language>/
        core-sounds-<language>.txt.gz    key: text

The splits are ours. `train`, `dev` and `test` keep every key in one split in all languages, and
every text in one split; dev and test hold prompts of at least three words alone. `all3` is every
prompt of at least three words, to test what was trained on another corpus. Longer ones than 30
seconds are left out. One person reads a language, one both English and Spanish, so test prompts are
new sentences by a known voice.
"""

import gzip
from collections import Counter
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora import prompts_text
from espnet_otreg.corpora.record import Prepared, Record, Rejected, absent
from espnet_otreg.corpora.trainable import normalise_transcript
from espnet_otreg.errors import UserError

NAME = "prompts"
VARIABLE = "PROMPTS"
OPTIONS: tuple[str, ...] = ()
SPLITS = ("train", "dev", "test")
WHOLE = "all3"
LEAST_WORDS = 3
LONGEST = 30  # seconds: what encoders such as Whisper's hear at once
_BYTES = 8000  # of G.722, per second
SPLIT_TABLE = "prompts_splits.tsv"
LANGUAGES = ("en", "es", "fr", "it", "ru")


class Voice(NamedTuple):
    """Who reads, by the packages' credits."""

    speaker: str
    license: str
    attribution: str


_BY_DIGIUM = "financed by Digium, Inc."
VOICES = {  # by the folder of the recordings
    "en_US_f_Allison": Voice(
        "allison_smith", "CC-BY-SA-3.0", f"Allison Smith (theivrvoice.com), {_BY_DIGIUM}"
    ),
    "es_MX_f_Allison": Voice(
        "allison_smith", "CC-BY-SA-3.0", f"Allison Smith (theivrvoice.com), {_BY_DIGIUM}"
    ),
    "fr_CA_f_June": Voice(
        "june_wallack",
        "CC-BY-SA-3.0",
        "June Wallack (junewallack.com), translated by Clod Patry, Kristopher Lalletti and "
        f"June Wallack, {_BY_DIGIUM}, Unlimitel and BGM Informatique",
    ),
    "it_IT_m_Carlo": Voice(
        "carlo_flora", "CC-BY-3.0", "Carlo Flora (carloflora.com), translated by Silvia Petrin"
    ),
    "ru_RU_f_IvrvoiceRU": Voice(  # the credits do not say who speaks
        "ivrvoice_ru", "CC-BY-3.0", "provided by Maxim Topal (ivrvoice.ru)"
    ),
}


class Prompt(NamedTuple):
    """One recording, and what is known about it."""

    key: str
    audio: str
    text: str
    reason: str  # why it cannot be used; empty if it can


def prepare(root: Path, language: str, split: str, work: Path) -> Prepared:
    """List one language and split."""
    if split not in (*SPLITS, WHOLE):
        raise UserError(
            f"the prompts have no split '{split}'; their splits are {', '.join((*SPLITS, WHOLE))}"
        )
    home = _home(root, language)
    voice = VOICES[_voice(home, language).name]
    prompts, notes = read_prompts(home, language)
    strictest = _splits_of_texts(prompts, language)
    out = Prepared([], [], notes)
    for prompt in prompts:
        own = splits().get(prompt.key)
        if split not in (own or "train", WHOLE):
            continue
        name = prompt.key.replace("/", "_")
        utt_id = f"{voice.speaker}-{NAME}-{language}-{split}-{name}"  # Kaldi: the speaker first
        there = strictest.get(normalise_transcript(prompt.text, language), own)
        reason = prompt.reason
        if split != WHOLE and own is None:
            reason = f"key without a split: {prompt.key}"
        elif split != WHOLE and there != own:
            reason = reason or f"text of another split: {there} has it"
        if reason:
            out.rejected.append(Rejected(utt_id, reason))
        elif split != "train" and words_of(prompt.text, language) < LEAST_WORDS:
            notes[f"prompts of fewer than {LEAST_WORDS} words, left to train"] += 1
        else:
            record = Record(utt_id, voice.speaker, language, prompt.text, prompt.audio)
            facts = {"license": voice.license, "attribution": voice.attribution}
            out.records.append(record._replace(**facts))
    return out


def has_language(language: str) -> bool:
    """Whether the prompts were read in it."""
    return language in LANGUAGES


def languages(root: Path) -> list[str]:
    """List the languages whose recordings and texts are there."""
    return [language for language in LANGUAGES if _found(root, language)]


def words_of(text: str, language: str) -> int:
    """Count words as the project's tables do."""
    return len(normalise_transcript(text, language).split())


@cache
def splits() -> dict[str, str]:
    """Read the split of every key; `tools/prompt_splits.py` drew it."""
    content = files("espnet_otreg.corpora").joinpath(SPLIT_TABLE).read_text(encoding="utf-8")
    lines = [line.partition("\t") for line in content.splitlines() if not line.startswith("#")]
    return {key: split for key, _, split in lines}


def read_prompts(home: Path, language: str) -> tuple[list[Prompt], Counter[str]]:
    """List the recordings of a language by their keys, those without speech left out."""
    texts, twice = _texts(_list(home, language))
    folder, notes = _voice(home, language), Counter[str]()
    prompts = []
    for path in sorted(folder.rglob("*.g722")):
        key = path.relative_to(folder).with_suffix("").as_posix()
        listed = texts.pop(key, None)
        if prompts_text.is_silent(key, language):
            notes["recordings without speech"] += 1
            continue
        said = prompts_text.transcript(key, listed, language)
        reason = said.reason
        if key in twice and key not in prompts_text.rules_of(language)["prompt"]:
            reason = f"conflicting duplicate: {key} has two texts"
        seconds = path.stat().st_size / _BYTES
        if seconds > LONGEST:
            reason = reason or f"too long: {seconds:.1f} s, the limit is {LONGEST} s"
        prompts.append(Prompt(key, str(path), said.text, reason))
    if texts:
        notes["texts without a recording"] += len(texts)
    return prompts, notes


def _splits_of_texts(prompts: list[Prompt], language: str) -> dict[str, str]:
    """Say which split a text belongs to: the one that comes last in SPLITS of those that have it.

    With the packages' version 1.6.1 it is the split of every key that has the text.
    """
    found: dict[str, str] = {}
    for prompt in prompts:
        own = splits().get(prompt.key)
        if own and not prompt.reason:
            text = normalise_transcript(prompt.text, language)
            found[text] = max(found.get(text, own), own, key=SPLITS.index)
    return found


def _texts(path: Path) -> tuple[dict[str, str], set[str]]:
    """Read `key: text` lines; keys that have two different texts are returned apart."""
    texts: dict[str, str] = {}
    twice = set()
    try:
        content = gzip.decompress(path.read_bytes()).decode("utf-8-sig")
    except (OSError, EOFError, ValueError) as error:  # cut short, or no gzip
        raise UserError(f"{path} cannot be read ({error}); unpack the package again") from error
    for line in content.splitlines():
        key, sign, text = line.partition(":")
        if not sign or line.startswith(";"):
            continue
        if texts.setdefault(key.strip(), text.strip()) != text.strip():
            twice.add(key.strip())
    return texts, twice


def _homes(root: Path, language: str) -> list[Path]:
    return [root / f"asterisk-{language}" / "usr/share", root / "usr/share"]


def _list(home: Path, language: str) -> Path:
    folder = home / "doc" / f"asterisk-core-sounds-{language}"
    return folder / f"core-sounds-{language}.txt.gz"


def _found(root: Path, language: str) -> Path | None:
    """Return the folder above recordings and texts of a language, if it is there."""
    for home in _homes(root, language):
        if _list(home, language).is_file() and any(_voices(home, language)):
            return home
    return None


def _voices(home: Path, language: str) -> list[Path]:
    return [path for path in sorted(home.glob(f"asterisk/sounds/{language}_*")) if path.is_dir()]


def _home(root: Path, language: str) -> Path:
    home = _found(root, language)
    if home is None:
        homes = _homes(root, language)
        looked = [path / "asterisk/sounds" / f"{language}_*" for path in homes]
        looked += [_list(path, language) for path in homes]
        hint = f"Both are Debian packages: asterisk-core-sounds-{language}-g722 and without -g722."
        raise absent(f"the prompts of '{language}'", looked, VARIABLE, hint)
    return home


def _voice(home: Path, language: str) -> Path:
    """Find the one voice, which must be one whose credits are known."""
    found = _voices(home, language)
    known = [path for path in found if path.name in VOICES]
    if len(known) != 1:
        raise UserError(
            f"{home / 'asterisk/sounds'} holds {' '.join(path.name for path in found)}; expected "
            f"one of {' '.join(VOICES)}, whose speaker and licence are known"
        )
    return known[0]
