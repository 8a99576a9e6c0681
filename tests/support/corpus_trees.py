"""Tiny corpora with the real layouts, built in a test's own folder."""

import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

RATE = 16000


def tone(seconds: float = 0.2, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """Return a quiet tone, (N,) or (N, channels)."""
    time = np.arange(int(seconds * rate)) / rate
    signal = (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
    return signal if channels == 1 else np.stack([signal] * channels, axis=1)


def write_audio(path: Path, signal: np.ndarray | None = None, rate: int = RATE, **kwargs) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone() if signal is None else signal, rate, **kwargs)
    return path


def write_table(path: Path, rows: list[tuple[str, ...]], end: str = "\n", start: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = start + "".join("\t".join(row) + end for row in rows)
    path.write_bytes(text.encode("utf-8"))
    return path


VALIDATED = ("client_id", "path", "sentence", "up_votes")
SPLIT = ("path", "translation", "split")


def covost2(
    root: Path,
    sentences: list[tuple[str, ...]],
    splits: dict[str, list[tuple[str, ...]]],
    language: str = "en",
    header: tuple[str, ...] = VALIDATED,
) -> Path:
    """Write validated.tsv, one split table per target, and a clip for every named path."""
    home = root / "cv-corpus-4-2019-12-10" / language
    write_table(home / "validated.tsv", [header, *sentences])
    (home / "clips").mkdir()
    for target, rows in splits.items():
        write_table(root / f"covost_v2.{language}_{target}.tsv", [SPLIT, *rows])
        for row in rows:
            write_audio(home / "clips" / row[0])
    return root


def wav_bytes(seconds: float = 0.1) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(seconds), RATE, format="WAV")
    return buffer.getvalue()


def write_tar(path: Path, members: dict[str, bytes], extra: Sequence[tarfile.TarInfo] = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return path


def fleurs(root: Path, rows: list[tuple[str, ...]], code: str = "en_us") -> Path:
    """Write the test split: 7 columns, and the archive of all wavs named."""
    write_table(root / "data" / code / "test.tsv", rows)
    members = {f"test/{row[1]}": wav_bytes() for row in rows if len(row) == 7}
    write_tar(root / "data" / code / "audio" / "test.tar.gz", members)
    return root


def fleurs_row(wav: str, text: str, sentence: str = "1") -> tuple[str, ...]:
    return (sentence, wav, text.title(), text, "x|", "1600", "FEMALE")


def data_dir(folder: Path, clips: dict[str, Path], text: str = "hello there") -> Path:
    """Write what stage 1 leaves behind."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = sorted(clips)
    (folder / "wav.scp").write_text("".join(f"{utt} {clips[utt]}\n" for utt in ids))
    (folder / "text").write_text("".join(f"{utt} {text}\n" for utt in ids))
    (folder / "utt2spk").write_text("".join(f"{utt} spk-{utt[0]}\n" for utt in ids))
    (folder / "utt2lang").write_text("".join(f"{utt} en\n" for utt in ids))
    return folder


def aishell(
    root: Path, clips: dict[str, list[str]], lines: list[str], packed: Sequence[str] = ()
) -> Path:
    """Write the clips of each split, the transcript file, and archives of speakers left packed."""
    home = root / "data_aishell"
    for split, names in clips.items():
        for name in names:
            write_audio(home / "wav" / split / name[6:11] / f"{name}.wav")
    table = home / "transcript" / "aishell_transcript_v0.8.txt"
    write_table(table, [(line,) for line in lines])
    for speaker in packed:
        write_tar(home / "wav" / f"{speaker}.tar.gz", {f"train/{speaker}/x.wav": wav_bytes()})
    return root


class Layout(NamedTuple):
    """A corpus whose test split can be planted utterance by utterance."""

    language: str
    table: Callable[[Path], Path]  # where the sentences stand
    clip: Callable[[Path, int], Path]  # the recording of an utterance
    row: Callable[[Path, str], tuple[str, ...]]  # its fields in the table
    header: tuple[str, ...] = ()
    splits: str = "train, dev, test"
    folder: str = ""  # that holds the language, under root


def _spaced(path: Path, text: str) -> tuple[str, ...]:
    return (f"{path.stem} {text}",)


_CV4 = "cv-corpus-4-2019-12-10/en"
LAYOUTS = {
    "covost2": Layout(
        "en",
        lambda root: root / _CV4 / "validated.tsv",
        lambda root, n: root / _CV4 / "clips" / f"common_voice_en_{n}.mp3",
        lambda path, text: ("s1", path.name, text, "2"),
        VALIDATED,
        folder="cv-corpus-4-2019-12-10",
    ),
    "commonvoice": Layout(
        "en",
        lambda root: root / "cv-corpus-17.0-2024-03-15/en/test.tsv",
        lambda root, n: root / f"cv-corpus-17.0-2024-03-15/en/clips/common_voice_en_{n}.mp3",
        lambda path, text: ("s1", path.name, text, "2"),
        VALIDATED,
        "train, dev, test, validated",
        "cv-corpus-17.0-2024-03-15",
    ),
    "fleurs": Layout(
        "en",
        lambda root: root / "data/en_us/test.tsv",
        lambda root, n: root / f"data/en_us/audio/test/{n}.wav",
        lambda path, text: fleurs_row(path.name, text),
        folder="data",
    ),
    "librispeech": Layout(
        "en",
        lambda root: root / "LibriSpeech/test-clean/61/70/61-70.trans.txt",
        lambda root, n: root / f"LibriSpeech/test-clean/61/70/61-70-{n:04d}.flac",
        _spaced,
        splits="train, dev, test, train-clean-100",
        folder="LibriSpeech",
    ),
    "mls": Layout(
        "fr",
        lambda root: root / "mls_french/test/transcripts.txt",
        lambda root, n: root / f"mls_french/test/audio/12/34/12_34_{n:06d}.flac",
        lambda path, text: (path.stem, text),
        folder="mls_french",
    ),
    "aishell": Layout(
        "zh",
        lambda root: root / "data_aishell/transcript/aishell_transcript_v0.8.txt",
        lambda root, n: root / f"data_aishell/wav/test/S0764/BAC009S0764W{n:04d}.wav",
        _spaced,
        folder="data_aishell",
    ),
}


def plant(root: Path, corpus: str, sentences: Sequence[str], **table: str) -> list[Path]:
    """Write a test split of these sentences; returns the recordings, in order."""
    layout = LAYOUTS[corpus]
    clips = [layout.clip(root, n) for n in range(1, len(sentences) + 1)]
    rows = [layout.row(*pair) for pair in zip(clips, sentences, strict=True)]
    write_rows(root, corpus, rows, **table)
    for clip in clips:
        kind: dict[str, Any] = {"format": "MP3"} if clip.suffix == ".mp3" else {}
        write_audio(clip, **kind)
    if corpus == "covost2":
        pairs = [(clip.name, "T", "test") for clip in clips]
        write_table(root / "covost_v2.en_de.tsv", [SPLIT, *pairs])
    if corpus == "librispeech":
        (root / "LibriSpeech/test-other").mkdir(exist_ok=True)
    return clips


def write_rows(root: Path, corpus: str, rows: list[tuple[str, ...]], **table: str) -> Path:
    """Write the table of sentences under its header, if it has one."""
    layout = LAYOUTS[corpus]
    header = [layout.header] if layout.header else []
    return write_table(layout.table(root), [*header, *rows], **table)
