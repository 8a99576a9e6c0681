"""Our Kaldi-style data directories as a Dataset of ESPnet3.

    train:
        - data_src_args: {folder: data/raw/covost2_train}
    test:
        - name: covost2_test
          data_src_args: {folder: data/raw/org/covost2_test, columns: [utt_id, speaker, language]}

An item is an utterance: `speech`, samples at one rate, and `text`. Training may have nothing more,
since what it batches must be numbers; for inference and scoring `columns` adds tables as text.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from espnet3.components.data.base_dataset import BaseDataset
from espnet3.contract import Field

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table

TABLE_OF = {"speaker": "utt2spk", "language": "utt2lang"}  # column -> table of the data directory
COLUMNS = ("utt_id", *TABLE_OF)
SAMPLES = "utt2num_samples"


class Dataset(BaseDataset):
    """The utterances of one data directory, in the order of their ids."""

    def __init__(
        self,
        folder: str | Path,
        pieces: str | Path | None = None,
        columns: Sequence[str] = (),
        fs: int = 16000,
    ) -> None:
        """Read the tables; audio is read when an item is asked for.

        Args:
            folder: data directory, whose recordings are mono
            pieces: of a speech language model, the folder that `train_tokenizer` made of this
                directory: `text` is then the answer in pieces of the language model, `language`
                the bytes of the language code. Utterances that it rejected are left out
            columns: what else an item holds, as text: utt_id, speaker, language
            fs: sampling rate that all recordings must have
        """
        unknown = [name for name in columns if name not in COLUMNS]
        if unknown:
            raise UserError(
                f"data_src_args.columns: {unknown[0]} is none of {', '.join(COLUMNS)}; speech and "
                "text are always there"
            )
        self.folder, self.fs = Path(folder), fs
        data = DataDir.load(self.folder)
        data.validate(self.folder)
        self.tables = data.tables
        self.columns = tuple(columns)
        for name in self.columns:
            if name in TABLE_OF and TABLE_OF[name] not in self.tables:
                raise UserError(f"{self.folder} has no {TABLE_OF[name]}, which columns asks for")
        self.texts, self.ids = self.tables["text"], data.ids
        self.codes: dict[str, str] = {}
        if pieces is not None:
            self._take_pieces(Path(pieces))
        self.fields = (  # ESPnet3 holds the first item to it
            Field("speech", "audio"),
            Field("text", "text"),
            *(Field(name, "text") for name in self.columns),
        )

    def _take_pieces(self, folder: Path) -> None:
        self.texts = read_table(folder / "text")
        self.codes = read_table(folder / "language")
        kept = [utt for utt in self.ids if utt in self.texts and utt in self.codes]
        if not kept:
            raise UserError(
                f"{folder} has pieces of no utterance of {self.folder}: run train_tokenizer again"
            )
        if len(kept) < len(self.ids):
            logging.warning(
                "%s: %d of %d utterances left out, for %s has no pieces of them",
                *(self.folder, len(self.ids) - len(kept), len(self.ids), folder),
            )
        self.ids = kept

    def __len__(self) -> int:
        """Count the utterances."""
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read an utterance."""
        utt = self.ids[int(index)]
        item: dict[str, Any] = {"speech": self._read(utt), "text": self.texts[utt]}
        if self.codes:
            item["language"] = np.array(self.codes[utt].split(), dtype=np.int64)
        for name in self.columns:
            item[name] = utt if name == "utt_id" else self.tables[TABLE_OF[name]][utt]
        return item

    def _read(self, utt: str) -> np.ndarray:
        path = self.tables["wav.scp"][utt]
        samples, fs = soundfile.read(path, dtype="float32")
        if fs != self.fs or samples.ndim != 1:
            channels = 1 if samples.ndim == 1 else samples.shape[1]
            raise UserError(
                f"{path} has {channels} channel(s) at {fs} Hz, and mono at {self.fs} Hz is needed: "
                "make the data directory by create_dataset, or set fs"
            )
        return samples

    def lengths(self) -> list[tuple[int, int]]:
        """Count the samples of each utterance and the words, or pieces, of its text, unread."""
        if SAMPLES not in self.tables:
            raise UserError(f"{self.folder} has no {SAMPLES}: make it by create_dataset")
        counts = self.tables[SAMPLES]
        return [(int(counts[utt]), len(self.texts[utt].split())) for utt in self.ids]


def training_text(folders: Iterable[str]) -> list[str]:
    """Return the sentences of data directories, for `tokenizer.text_builder`."""
    return [text for folder in folders for text in read_table(Path(folder) / "text").values()]
