"""Real sentences spoken by natural synthetic voices: a training domain that any machine can make.

Source: `stages/make_natural` makes it, of texts and voices that packages carry. Licence: that of
the texts and of the voices, which `ROOT/manifest.json` lists; nothing of it is in this repository.

Layout: CoVoST-2's, whose reader reads it (`covost2.py`); the speaker's name is the `client_id`::

    ROOT/cv-corpus-4-2019-12-10/<language>/{validated.tsv,clips/*.mp3}
    ROOT/covost_v2.<language>_<target>.tsv
    ROOT/manifest.json    origin and licence of texts and voices
    ROOT/clips.jsonl      voice, condition and times of the phrases of every clip

Speakers are voices at a pitch and rate of their own. A voice is heard in every split, a speaker in
one, and a sentence in one.
"""

from pathlib import Path

from espnet_otreg.corpora import covost2
from espnet_otreg.corpora.record import Prepared, Rejected, absent
from espnet_otreg.files import read_json

NAME = "natural"
VARIABLE = "NATURAL"
OPTIONS = ("target",)
LANGUAGES = ("en", "es", "fr")
MANIFEST = "manifest.json"


def prepare(
    root: Path, language: str, split: str, work: Path, *, target: str | None = None
) -> Prepared:
    """List one language and split; `target` picks translations, which part of the texts has."""
    if not (root / MANIFEST).is_file():
        hint = "Make it: python -m espnet_otreg.stages.make_natural --output ROOT --texts DOWNLOADS"
        raise absent("the corpus 'natural'", [root / MANIFEST], VARIABLE, hint)
    listed = covost2.prepare(root, language, split, work, target=target)
    theirs = f"{covost2.NAME}-{language}-{split}-"
    told = read_json(root / MANIFEST)
    records = [
        record._replace(
            utt_id=f"{record.speaker}-{record.utt_id.removeprefix(theirs)}",
            license=told.get("license"),
            attribution=told.get("attribution"),
        )
        for record in listed.records
    ]
    rejected = [
        Rejected(f"{NAME}-{entry.where.removeprefix(f'{covost2.NAME}-')}", entry.reason)
        if entry.where.startswith(theirs)
        else entry
        for entry in listed.rejected
    ]
    return Prepared(records, rejected, listed.notes)


def has_language(language: str) -> bool:
    """Whether there are voices and texts in it."""
    return language in LANGUAGES


def languages(root: Path, *, target: str | None = None) -> list[str]:
    """List the languages that were made."""
    return [name for name in covost2.languages(root, target=target) if has_language(name)]
