"""Tiny Debian packages of speech, unpacked, in a test's own folder."""

import gzip
from collections.abc import Mapping
from pathlib import Path

from tests.support import corpus_trees as trees

VOICES = {"en": "en_US_f_Allison", "es": "es_MX_f_Allison", "fr": "fr_CA_f_June"}
GAME = "usr/share/games/fillets-ng"


def prompts(root: Path, texts: Mapping[str, str], language: str = "en", more: str = "") -> Path:
    """Write a recording and a line of the list for every key; `more` are keys without a text."""
    home = root / f"asterisk-{language}" / "usr/share"
    for key in (*texts, *more.split()):
        path = home / "asterisk/sounds" / VOICES[language] / f"{key}.g722"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode() * 400)
    lines = ["; Core Asterisk Sounds", "", *(f"{key}: {text}" for key, text in texts.items())]
    return prompt_list(root, lines, language)


def prompt_list(root: Path, lines: list[str], language: str = "en") -> Path:
    """Write the list of texts alone."""
    folder = root / f"asterisk-{language}/usr/share/doc/asterisk-core-sounds-{language}"
    folder.mkdir(parents=True, exist_ok=True)
    content = gzip.compress("\n".join(lines).encode())
    (folder / f"core-sounds-{language}.txt.gz").write_bytes(content)
    return root


def script(root: Path, level: str, language: str, lines: list[tuple[str, ...]]) -> Path:
    """Write the dialogues of a level: name, font, English and, unless absent, the translation."""
    path = root / "fillets-text" / GAME / "script" / level / f"dialogs_{language}.lua"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ""
    for name, font, english, *translated in lines:
        text += f'\ndialogId("{name}", "{font}", "{english}")\n'
        text += "".join(f'dialogStr("{words}")\n\n' for words in translated)
    path.write_text(text, encoding="utf-8")
    return root


def acted(root: Path, level: str, language: str, names: list[str]) -> Path:
    """Write the recordings of a level."""
    for name in names:
        folder = root / f"fillets-{language}" / GAME / "sound" / level / language
        trees.write_audio(folder / f"{name}.ogg", format="OGG", subtype="VORBIS")
    return root


def fortunes(root: Path, cookies: list[str], name: str = "wisdom", language: str = "en") -> Path:
    """Write a file of fortunes."""
    folder, inside, ending = (
        ("fortunes-es", "es/", ".fortunes") if language == "es" else ("fortunes", "", "")
    )
    path = root / folder / "usr/share/games/fortunes" / f"{inside}{name}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n%\n".join(cookies) + "\n%\n", encoding="utf-8")
    return root
