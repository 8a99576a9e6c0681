"""Fish Fillets: the acted dialogues of a game, in Dutch and Czech, with the English of every line.

Source: Debian's packages fillets-ng-data-nl and -cs (recordings) and fillets-ng-data (texts), of
https://fillets.sourceforge.net. Licence: GPL-2.

Layout, as the packages unpack (ROOT may also hold `usr/` of all of them together)::

    ROOT/fillets-<language>/usr/share/games/fillets-ng/sound/<level>/<language>/<line>.ogg
    ROOT/fillets-text/usr/share/games/fillets-ng/script/<level>/[*_]dialogs_<language>.lua

The splits are ours: a level is in one split in every language, and a text that several levels have
is left out of the larger split. Speakers are the roles: `small` and `big`, the two fish, say
nearly everything. They are in all splits, so test sentences are new ones by known voices.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora.prompts_text import foreign_word
from espnet_otreg.corpora.record import Prepared, Record, Rejected, absent, one_line
from espnet_otreg.corpora.trainable import normalise_transcript
from espnet_otreg.errors import UserError

NAME = "fillets"
VARIABLE = "FILLETS"
OPTIONS: tuple[str, ...] = ()
SPLITS = ("train", "dev", "test")
LANGUAGES = ("nl", "cs")
LICENSE = "GPL-2.0-only"
ATTRIBUTION = "Fish Fillets by ALTAR interactive, Ivo Danihelka, Pavel Danihelka and others"
DEV, TEST = 0.1, 0.2  # shares of the levels
GAME = "usr/share/games/fillets-ng"
TEXTS = "fillets-text"
_STRING = r'"((?:[^"\\]|\\.)*)"'
_LINE = re.compile(
    rf"dialogId\({_STRING},\s*{_STRING},\s*{_STRING}\)(?:\s*dialogStr\({_STRING}\))?"
)


class Line(NamedTuple):
    """What a script says of one line of dialogue."""

    name: str  # its recording is called after it
    role: str
    text: str  # in the language of the script, or as the original where it has no other
    english: str


def prepare(root: Path, language: str, split: str, work: Path) -> Prepared:
    """List one language and split."""
    if split not in SPLITS:
        raise UserError(f"Fish Fillets has no split '{split}'; its splits are {', '.join(SPLITS)}")
    recordings, scripts = _folders(root, language)
    listed, out = _listed(recordings, scripts, language), Prepared([], [], Counter())
    homes = _splits_of_texts(listed, language)
    for audio, line in listed:
        level = audio.parent.parent.name
        if split_of(level) != split:
            continue
        if line and not (line.text or line.english):
            out.notes["recordings without words"] += 1
            continue
        speaker = f"{NAME}-{language}-{line.role if line else 'unknown'}"
        utt_id = "_".join(f"{speaker}-{split}-{level}-{audio.stem}".split())
        reason = _fault(line, language)
        if line and not reason:
            there = homes[normalise_transcript(line.text, language)]
            reason = f"text of another split: {there} has it" if there != split else ""
        if reason or not line:
            out.rejected.append(Rejected(utt_id, reason))
        else:
            record = Record(utt_id, speaker, language, line.text, str(audio), line.english, "en")
            out.records.append(record._replace(license=LICENSE, attribution=ATTRIBUTION))
    return out


def has_language(language: str) -> bool:
    """Whether the dialogues were acted in it."""
    return language in LANGUAGES


def languages(root: Path) -> list[str]:
    """List the languages whose recordings are there, where the texts are too."""
    return [lang for lang in LANGUAGES if _sounds(root, lang) and _scripts(root)]


def split_of(level: str) -> str:
    """Draw the split of a level by its name."""
    share = int.from_bytes(hashlib.sha256(level.encode()).digest()[:6], "big") / 2**48
    return "test" if share < TEST else "dev" if share < TEST + DEV else "train"


def read_script(path: Path) -> Iterator[Line]:
    """Yield the lines of one dialogs_<language>.lua; those not translated are in English."""
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error}); unpack the package again") from error
    for name, font, english, translated in _LINE.findall(content):
        role = font.removeprefix("font_") or "unnamed"
        original = _plain(english)
        yield Line(name, role, _plain(translated) or original, original)


def _plain(literal: str) -> str:
    """Read a string of Lua."""
    return one_line(re.sub(r"\\(.)", lambda m: " " if m[1] in "nt" else m[1], literal))


def _fault(line: Line | None, language: str) -> str:
    """Say why a line cannot be used; empty if it can."""
    if line is None:
        return "no transcript: no script has this line"
    if not normalise_transcript(line.text, language):
        return "empty sentence"
    if line.text == line.english:
        return "not translated: the script has the English text alone"
    if any(letter.isdigit() for letter in line.text):
        return "number: how it is read is not written"
    foreign = foreign_word(line.text, language)
    return f"other script: {foreign}" if foreign else ""


def _listed(recordings: Path, scripts: Path, language: str) -> list[tuple[Path, Line | None]]:
    """Pair every recording with its line, first by level, then by a name that is there once."""
    by_level: dict[tuple[str, str], Line] = {}
    anywhere: dict[str, set[Line]] = {}
    for path in sorted(scripts.glob(f"**/*dialogs_{language}.lua")):
        for line in read_script(path):
            by_level[path.parent.name, line.name] = line
            anywhere.setdefault(line.name, set()).add(line)
    pairs: list[tuple[Path, Line | None]] = []
    for audio in sorted(recordings.glob(f"*/{language}/*.ogg")):
        here = by_level.get((audio.parent.parent.name, audio.stem))
        others = anywhere.get(audio.stem, set())
        pairs.append((audio, here or (next(iter(others)) if len(others) == 1 else None)))
    return pairs


def _splits_of_texts(listed: list[tuple[Path, Line | None]], language: str) -> dict[str, str]:
    """Say which split a text belongs to: of those that have it, the last in SPLITS."""
    found: dict[str, str] = {}
    for audio, line in listed:
        if line:
            own = split_of(audio.parent.parent.name)
            text = normalise_transcript(line.text, language)
            found[text] = max(found.get(text, own), own, key=SPLITS.index)
    return found


def _sounds(root: Path, language: str) -> Path | None:
    places = [root / f"fillets-{language}" / GAME / "sound", root / GAME / "sound"]
    return next((place for place in places if any(place.glob(f"*/{language}/*.ogg"))), None)


def _scripts(root: Path) -> Path | None:
    places = [root / TEXTS / GAME / "script", root / GAME / "script"]
    return next((place for place in places if place.is_dir()), None)


def _folders(root: Path, language: str) -> tuple[Path, Path]:
    sounds, scripts = _sounds(root, language), _scripts(root)
    if sounds is None:
        looked = [
            home / GAME / "sound" / "*" / language for home in (root / f"fillets-{language}", root)
        ]
        hint = f"It is the Debian package fillets-ng-data-{language}."
        raise absent(f"Fish Fillets' recordings of '{language}'", looked, VARIABLE, hint)
    if scripts is None:
        looked = [home / GAME / "script" for home in (root / TEXTS, root)]
        hint = "It is the Debian package fillets-ng-data."
        raise absent("Fish Fillets' texts", looked, VARIABLE, hint)
    return sounds, scripts
