"""Common Voice on its own: sentences read by volunteers, in any release and language.

Source: the Mozilla Data Collective, https://mozilladatacollective.com, one archive per language, to
be fetched by hand after agreeing to the terms. Licence: CC0. Citation: R. Ardila et al., "Common
Voice: A Massively-Multilingual Speech Corpus", LREC 2020, arXiv 1912.06670.

Layout (ROOT may also be a release's own folder, or hold the languages without one)::

    ROOT/cv-corpus-<release>/<language>/{train,dev,test,validated}.tsv
    ROOT/cv-corpus-<release>/<language>/clips/*.mp3    (or .wav .flac .opus, or in clips_16k/)
    ROOT/<archive>/cv-corpus-<release>/<language>/...  as Mozilla's client unpacks each archive

The tables' columns differ between releases and are found by name; `client_id` is the speaker.
`validated` holds the clips of the other splits too. CoVoST-2 has the audio of release 4: a model
trained on the one has heard clips of the other, which `stages/check_overlap` finds. Spontaneous
speech (`ss-corpus-<language>.tsv`) is another corpus with other columns, and is not read here.
"""

from os.path import basename, splitext
from pathlib import Path

from espnet_otreg.corpora.clip_tables import (
    clip_folders,
    common_voice_folders,
    find_clip,
    read_sentences,
    spontaneous_tables,
)
from espnet_otreg.corpora.record import (
    Prepared,
    Record,
    Rejected,
    absent,
    fault,
    make_utt_id,
)
from espnet_otreg.errors import UserError

NAME = "commonvoice"
VARIABLE = "COMMONVOICE"
OPTIONS = ("release",)
SPLITS = ("train", "dev", "test", "validated")


def prepare(
    root: Path, language: str, split: str, work: Path, *, release: str | None = None
) -> Prepared:
    """List one language and split; `release` names the folder where there are several."""
    if split not in SPLITS:
        raise UserError(f"Common Voice has no split '{split}'; its splits are {', '.join(SPLITS)}")
    home = _language_folder(root, language, release)
    table = home / f"{split}.tsv"
    if not table.is_file():
        raise absent(f"Common Voice's table of '{language}' {split}", [table], VARIABLE)
    sentences = read_sentences(table, NAME)
    folders, records, rejected = clip_folders(home), [], sentences.rejected
    for clip in sorted(sentences.found.keys() - sentences.refused):
        sentence = sentences.found[clip]
        audio = find_clip(folders, clip)
        utt_id = make_utt_id(NAME, language, split, splitext(basename(audio))[0])
        reason = fault(sentence.text, clip, audio)
        if reason:
            rejected.append(Rejected(utt_id, reason))
        else:
            records.append(Record(utt_id, sentence.speaker, language, sentence.text, audio))
    return Prepared(records, rejected, sentences.notes)


def has_language(language: str) -> bool:
    """Common Voice grows with every release: any language may be in it."""
    return True


def languages(root: Path, *, release: str | None = None) -> list[str]:
    """List the languages of the release asked for, or of all that are present."""
    folders = common_voice_folders(root)
    return sorted({path.name for path in folders if _is_of(path, root, release)})


def _is_of(folder: Path, root: Path, release: str | None) -> bool:
    """Whether a language's folder is of a release, named by its folder or its archive's."""
    return release in (None, *(folder.relative_to(root).parts[:-1] or [root.name]))


def _language_folder(root: Path, language: str, release: str | None) -> Path:
    """Find the folder of a language, in the release asked for or the only one."""
    folders = common_voice_folders(root, language)
    found = [path for path in folders if _is_of(path, root, release)]
    if not found:
        for table in spontaneous_tables(root, language):
            raise UserError(
                f"{table} is spontaneous speech, and Common Voice's read sentences of '{language}' "
                "are not there: fetch those, or read this one as corpus `table`, with `preset: "
                "common_voice_spontaneous` in a table.yaml (docs/RECIPES.md)."
            )
        there = [path.name for path in sorted(root.glob("cv-corpus-*"))]
        releases = [release] if release else [*(there or ["cv-corpus-<release>"]), "."]
        looked = [root / name / language / "clips" for name in releases]
        present = " ".join(languages(root)) or "none"
        hint = f"Languages present: {present}."
        raise absent(f"Common Voice's folder of '{language}'", looked, VARIABLE, hint)
    if len(found) > 1:
        names = ", ".join(str(path.parent.relative_to(root)) for path in found)
        raise UserError(
            f"{root} holds several Common Voice releases for '{language}': {names}. "
            f"Choose one with --release, or set {VARIABLE} in db.sh to its folder."
        )
    return found[0]
