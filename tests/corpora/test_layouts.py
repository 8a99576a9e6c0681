"""Twelve layouts: the same utterances however somebody got them are the same data directory."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_otreg.corpora import CORPORA, table
from espnet_otreg.corpora.audio import load_clip
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.errors import UserError
from espnet_otreg.stages import prepare_data
from tests.support import corpus_trees as trees
from tests.support import table_trees as tables

SENTENCES = {1: "un deux", 2: "L’été, déjà !", 3: 'il dit « "oui" »'}
SPEAKERS = {1: "s1", 2: "s2", 3: "s1"}
SPLITS = {"train": (1, 2), "dev": (2,), "test": (3,)}
RELEASES = {"covost2": "cv-corpus-4-2019-12-10", "commonvoice": "cv-corpus-23.0-2025-09-05"}


def name(split, number):
    return f"common_voice_fr_{number}{len(split)}"


def voice(number, path):
    """Write a recording of its own, which decoding gives back whatever the format."""
    kind = {"format": "MP3"} if path.suffix == ".mp3" else {}
    return trees.write_audio(path, trees.tone(0.2 + number / 10), **kind)


def common_voice(root, corpus, home=None, ending="mp3", clips="clips"):
    """Write a release as its archive unpacks, tables of CoVoST-2 included."""
    home = home or root / RELEASES[corpus] / "fr"
    every, pairs = [], []
    for split, numbers in SPLITS.items():
        listed = [(SPEAKERS[n], f"{name(split, n)}.mp3", SENTENCES[n], "2") for n in numbers]
        trees.write_table(home / f"{split}.tsv", [trees.VALIDATED, *listed])
        for n in numbers:
            voice(n, home / clips / f"{name(split, n)}.mp3")
        every += listed
        pairs += [(f"{name(split, n)}.mp3", f"Satz {n}", split) for n in numbers]
    trees.write_table(home / "validated.tsv", [trees.VALIDATED, *every])
    if corpus == "covost2":
        trees.write_table(root / "covost_v2.fr_de.tsv", [trees.SPLIT, *pairs])
    if ending == "wav":
        copied_as_wav(home / clips)


def copied_as_wav(folder):
    for path in sorted(folder.glob("*.mp3")):
        signal, rate = soundfile.read(path)
        soundfile.write(path.with_suffix(".wav"), signal, rate)
        path.unlink()


def client(root, corpus):
    release = RELEASES[corpus]
    common_voice(root, corpus, root / f"{release}-fr" / release / "fr")


def fleurs(root, home="data/fr_fr", packed=True):
    for split, numbers in SPLITS.items():
        rows = [trees.fleurs_row(f"{name(split, n)}.wav", SENTENCES[n]) for n in numbers]
        trees.write_table(root / home / f"{split}.tsv", rows)
        clips = [voice(n, root / home / f"audio/{split}/{name(split, n)}.wav") for n in numbers]
        if packed:
            members = {f"{split}/{clip.name}": clip.read_bytes() for clip in clips}
            trees.write_tar(root / home / f"audio/{split}.tar.gz", members)
            for clip in clips:
                clip.unlink()
            clips[0].parent.rmdir()


COLUMNS: dict[str, Callable[[str, int], dict]] = {
    "fleurs": lambda split, n: {
        **{"id": n, "path": f"/gone/{name(split, n)}.wav", "transcription": SENTENCES[n]},
        **{"raw_transcription": "x", "language": "French", "lang_id": 29},
    },
    "covost2": lambda split, n: {
        **{"client_id": SPEAKERS[n], "file": f"/gone/{name(split, n)}.mp3"},
        **{"sentence": SENTENCES[n], "translation": f"Satz {n}", "id": name(split, n)},
    },
    "commonvoice": lambda split, n: {
        **{"client_id": SPEAKERS[n], "path": f"{name(split, n)}.mp3"},
        **{"sentence": SENTENCES[n], "locale": "fr", "up_votes": 2},
    },
}
HUB = {  # folder of French, preset
    "fleurs": ("fr_fr", "fleurs"),
    "covost2": ("fr_de", "covost2"),
    "commonvoice": ("fr", "common_voice"),
}


def parquet(root, corpus):
    """Write the copy of the hub: recordings inside, one file per split."""
    folder, preset = HUB[corpus]
    ending = "wav" if corpus == "fleurs" else "mp3"
    tables.write_map(root, preset=preset)
    for split, numbers in SPLITS.items():
        rows = []
        for n in numbers:
            clip = voice(n, root.parent / f"{name(split, n)}.{ending}")
            audio = {"bytes": clip.read_bytes(), "path": clip.name}
            rows.append({**COLUMNS[corpus](split, n), "audio": audio})
        shown = split.replace("dev", "validation")
        tables.write_parquet(root / folder / f"{shown}-00000-of-00001.parquet", rows)


LAYOUTS: dict[str, Callable[[Path, str], None]] = {
    "tarball": lambda root, corpus: (
        fleurs(root) if corpus == "fleurs" else common_voice(root, corpus)
    ),
    "client": lambda root, corpus: (
        fleurs(root, "fleurs-fr/data/fr_fr") if corpus == "fleurs" else client(root, corpus)
    ),
    "parquet": parquet,
    "WAV copy": lambda root, corpus: (
        fleurs(root, packed=False)
        if corpus == "fleurs"
        else common_voice(root, corpus, ending="wav", clips="clips_16k")
    ),
}


def read(folder, corpus, layout):
    """Run stage 1; return the tables of each split, with recordings as samples."""
    LAYOUTS[layout](folder / "in", corpus)
    named = "table" if layout == "parquet" else corpus
    options = ["--corpus", named, "--root", str(folder / "in"), "--output", str(folder / "data")]
    prepare_data.main([*options, "--languages", "fr", "--splits", *SPLITS])
    found = {}
    for split in SPLITS:
        assert not (folder / f"data/{named}_{split}/rejected.tsv").read_text()
        data = dict(DataDir.load(folder / f"data/{named}_{split}").tables)
        clips = {utt: load_clip(Path(p), 16000) for utt, p in data.pop("wav.scp").items()}
        found[split] = data, {utt: clip.samples.astype(int) for utt, clip in clips.items()}
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("corpus", COLUMNS)
def test_every_layout_of_a_corpus_is_read_to_the_same_data_directory(tmp_path, corpus, layout):
    expected = read(tmp_path / "a", corpus, "tarball")
    got = read(tmp_path / "b", corpus, layout)
    texts = ["un deux", "l'été déjà", "il dit oui"]
    assert [*expected["train"][0]["text"].values(), *expected["test"][0]["text"].values()] == texts
    for split in SPLITS:
        assert got[split][0] == expected[split][0]
        for utt, samples in expected[split][1].items():
            assert np.abs(got[split][1][utt] - samples).max() <= 1  # a copy rounds again


@pytest.mark.parametrize("corpus", ["mls", "librispeech"])
def test_copies_of_audiobooks_on_the_hub_name_clips_and_readers_as_the_archives_do(
    tmp_path, corpus
):
    clips = trees.plant(tmp_path / "own", corpus, ["a", "b"])
    language = trees.LAYOUTS[corpus].language
    own = CORPORA[corpus].prepare(tmp_path / "own", language, "test", tmp_path)
    rows = [
        {
            **{"audio": {"bytes": clip.read_bytes(), "path": clip.name}, "id": clip.stem},
            **{"text": text, "transcript": text, "speaker_id": int(re.split("[-_]", clip.stem)[0])},
        }
        for clip, text in zip(clips, "ab", strict=True)
    ]
    tables.write_map(tmp_path / "hub", preset=corpus)
    if corpus == "mls":
        tables.write_parquet(tmp_path / "hub/french/test-00000-of-00001.parquet", rows)
    else:
        for half, few in (("clean", rows[:1]), ("other", rows[1:])):
            tables.write_parquet(tmp_path / f"hub/{half}/test/0000.parquet", few)
    assert table.languages(tmp_path / "hub") == [language]
    copy = table.prepare(tmp_path / "hub", language, "test", tmp_path / "work")
    assert [r._replace(audio="") for r in copy.records] == [
        r._replace(audio="") for r in own.records
    ]
    (tmp_path / "hub/other/test/0000.parquet").unlink(missing_ok=True)
    if corpus == "librispeech":  # `test` is always both halves
        with pytest.raises(UserError, match=r"no file for 'en' test; looked for all/test"):
            table.prepare(tmp_path / "hub", language, "test", tmp_path / "work")


def test_spontaneous_speech_is_read_as_a_table(tmp_path):
    voice(1, tmp_path / "audios/spontaneous-speech-fr-1.mp3")
    names = ("client_id", "audio_file", "prompt", "transcription", "split")
    rows = [("s1", "spontaneous-speech-fr-1.mp3", "Quoi ?", "[um] oui", "test")]
    rows += [("s1", "spontaneous-speech-fr-2.mp3", "Quoi ?", "", "")]
    trees.write_table(tmp_path / "ss-corpus-fr.tsv", [names, *rows])
    tables.write_map(tmp_path, preset="common_voice_spontaneous")
    prepared = table.prepare(tmp_path, "fr", "test", tmp_path / "work")
    (record,) = prepared.records
    assert (record.text, record.speaker) == ("[um] oui", "s1")
    assert prepared.notes == {"rows of split ''": 1}
