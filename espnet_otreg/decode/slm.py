"""Decoding with a speech language model: batched, with a key-value cache, greedy or by beam.

The language model writes alone, or with CTC beside it (`joint.py`).

model = SpeechLanguageModel.from_pretrained("exp/asr_otreg_seed1")
model.transcribe(["a.wav", "b.flac"], language="en")[0].text
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from espnet_otreg.decode.batches import FRAMES, read_recording
from espnet_otreg.decode.joint import JointScores
from espnet_otreg.errors import UserError
from espnet_otreg.hub.opened import CHECKPOINTS, check_own
from espnet_otreg.models.slm import SLMModel, Speech

Recording = str | Path | np.ndarray  # a file, samples (N,) or cached frames of the encoder (T, D)


class Shortening(NamedTuple):
    """What compression made of one utterance's embeddings."""

    embeddings: int  # the adapter's
    merged: int  # pairs that became one, or frames that joined a run
    dropped: int  # embeddings removed as silence, after merging
    silent: list[int]  # the adapter's embeddings that are gone


class Transcription(NamedTuple):
    """The answer to one recording."""

    text: str
    tokens: list[str]  # pieces of the language model
    capped: bool  # the answer was cut off at max_new_tokens
    shortening: Shortening


class SpeechLanguageModel:
    """A trained speech language model, ready to listen."""

    def __init__(self, model: SLMModel, sampling_rate: int = 16000) -> None:
        self.model, self.sampling_rate = model.eval(), sampling_rate
        self.tokenizer: Any = model.decoder.tokenizer
        self.translates = False  # so that CTC by the table hears another text than the answer's

    @classmethod
    def from_pretrained(
        cls,
        experiment: str | Path,
        checkpoint: str | None = None,
        *,
        device: str = "cpu",
        trust_remote_code: bool = False,
    ) -> "SpeechLanguageModel":
        """Load an experiment's folder; base models are found by the names in its config.yaml.

        Without a name, the checkpoint is the first of CHECKPOINTS that is there: the best by
        cross-entropy on the answer.
        Nothing in it is run: a base model that brings Python code needs `trust_remote_code`.
        """
        folder = Path(experiment)
        if (folder / "config.yaml").is_file():
            check_own(folder, trust_remote_code)
        if checkpoint is None:
            there = (name for name in CHECKPOINTS if (folder / name).is_file())
            checkpoint = next(there, CHECKPOINTS[0])
        return cls.from_files(folder / "config.yaml", folder / checkpoint, device=device)

    @classmethod
    def from_files(
        cls, config: Path, checkpoint: Path, *, device: str = "cpu"
    ) -> "SpeechLanguageModel":
        """Load a training's config.yaml and a checkpoint."""
        for needed in (config, checkpoint):
            if not needed.is_file():
                raise UserError(f"{needed} does not exist: train first, or check its name")
        from espnet_otreg.tasks.asr import ASRTask  # tasks import models, not the other way round

        model, options = ASRTask.build_model_from_file(config, checkpoint, device)
        if not isinstance(model, SLMModel):
            raise UserError(f"{config} is of model {options.model}, and model slm is needed")
        listener = cls(model)
        data = getattr(options, "train_data_path_and_name_and_type", None) or ()
        listener.translates = any(row[1] == "transcript" for row in data)
        return listener

    def transcribe(
        self,
        recordings: Sequence[Recording],
        language: str | Sequence[str | None] | None = None,
        *,
        batch_size: int = 8,
        beam_size: int = 1,
        max_new_tokens: int = 200,
        ctc_weight: float = 0.0,
    ) -> list[Transcription]:
        """Write down each recording, in the order given.

        `language` is one code for all or one for each. An answer does not depend on what else is
        in its batch. `ctc_weight` is the share of CTC in an answer's score; see `JointScores`.
        """
        answers = dict(
            self.stream(
                recordings,
                language,
                batch_size=batch_size,
                beam_size=beam_size,
                max_new_tokens=max_new_tokens,
                ctc_weight=ctc_weight,
            )
        )
        return [answers[i] for i in range(len(recordings))]

    def stream(
        self,
        recordings: Sequence[Recording],
        language: str | Sequence[str | None] | None = None,
        *,
        batch_size: int = 8,
        beam_size: int = 1,
        max_new_tokens: int = 200,
        ctc_weight: float = 0.0,
    ) -> Iterator[tuple[int, Transcription]]:
        """Yield the place of a recording and its transcription, batch by batch, longest first."""
        if language is None or isinstance(language, str):
            language = [language] * len(recordings)
        languages = list(language)
        if len(languages) != len(recordings):
            raise UserError(f"{len(recordings)} recordings and {len(languages)} languages")
        options = {"num_beams": beam_size, "max_new_tokens": max_new_tokens}
        for name, value in {"batch_size": batch_size, **options}.items():
            if value < 1:
                raise UserError(f"{name} must be 1 or more, got {value}")
        if not 0 <= ctc_weight <= 1:
            raise UserError(f"ctc_weight must be from 0 to 1, got {ctc_weight}")
        if self.model.before_answers and (beam_size > 1 or ctc_weight > 0):
            logging.warning(
                "beam_size and ctc_weight have no effect: this model is of the phase before the "
                "language model, and is read by its table"
            )
        capped = 0
        for batch in _batches(recordings, batch_size):
            clips = [self._read(recordings[i]) for i in batch]
            told = [languages[i] for i in batch]
            answers = self.answers(self.hear(clips), told, ctc_weight=ctc_weight, **options)
            for i, answer in zip(batch, answers, strict=True):
                capped += answer.capped
                yield i, answer
        if capped:
            logging.warning(
                "%d of %d answers were cut off at max_new_tokens=%d",
                *(capped, len(recordings), max_new_tokens),
            )

    @torch.inference_mode()
    def hear(self, clips: Sequence[torch.Tensor]) -> Speech:
        """Turn samples (N,) or frames (T, D) of a batch into what the language model reads."""
        device = self.model.decoder.table.device
        lengths = torch.tensor([len(clip) for clip in clips], device=device)
        speech = torch.nn.utils.rnn.pad_sequence(list(clips), batch_first=True).to(device)
        return self.model.hear(speech, lengths)

    @torch.inference_mode()
    def answers(
        self,
        heard: Speech,
        languages: Sequence[str | None],
        *,
        ctc_weight: float = 0.0,
        **options: int,
    ) -> Iterator[Transcription]:
        """Yield the answers to what was heard, one by one.

        A model of the phase before the language model (`objective: table`) is read by the table.
        """
        if self.model.before_answers:  # it has one way to be read
            for i, ids in enumerate(self.model.read_by_table(heard)):
                yield self._transcription(ids, False, heard, i)
            return
        read = self.model.read(heard, languages, room=options["max_new_tokens"])
        eos, joined = self.model.decoder.eos, None
        if ctc_weight > 0:
            tokens, ids = self.heard_tokens(heard)
            joined = JointScores(tokens, heard.whole_lengths, ids, eos, ctc_weight)
        answers = self.model.decoder.generate(*read, joined=joined, **options)
        for i, row in enumerate(answers.tolist()):
            capped = eos not in row
            ids = row if capped else row[: row.index(eos)]
            yield self._transcription(ids, capped, heard, i)

    @property
    def hears_tokens(self) -> bool:
        """Tell whether the model learnt CTC on the tokens of its answers."""
        return self._by_table() or self.model.ctc is not None

    def heard_tokens(self, heard: Speech) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what CTC hears: log-probabilities (B, T, C), the blank first, and C ids.

        Ids are the language model's, -1 where a column is no token of it. CTC by the table goes
        before the head of `ctc_weight`.
        """
        model = self.model
        if self._by_table():
            return model.by_table.heard(heard.told, model.rows(model.by_table))
        if model.ctc is not None:
            return model.ctc.log_softmax(heard.whole).float(), model.piece_ids
        if model.by_table is not None and self.translates:
            raise UserError(
                "CTC by the table learnt what is said, and the answers are translations: expected "
                "--ctc_weight 0"
            )
        raise UserError(
            "this model learnt no CTC, which decoding's ctc_weight weighs: expected "
            "slm_conf.table_adapter, table_ctc_weight or ctc_weight in its training, or "
            "--ctc_weight 0 here"
        )

    def _by_table(self) -> bool:
        table = self.model.by_table
        taught = table is not None and (table.weight > 0 or self.model.table_adapter is not None)
        return taught and not self.translates

    def _transcription(self, ids: list[int], capped: bool, heard: Speech, i: int) -> Transcription:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        tokens = self.tokenizer.convert_ids_to_tokens(ids)
        return Transcription(" ".join(text.split()), tokens, capped, _shortening(heard, i))

    def _read(self, recording: Recording) -> torch.Tensor:
        """Return samples (N,) at the model's rate, or frames (T, D)."""
        if isinstance(recording, np.ndarray):
            clip = recording
        elif str(recording).endswith(FRAMES):
            clip = np.load(recording, allow_pickle=False)
        else:
            clip = read_recording(recording, self.sampling_rate)
        return torch.from_numpy(np.ascontiguousarray(clip, dtype=np.float32))


def _batches(recordings: Sequence[Recording], size: int) -> Iterator[list[int]]:
    """The longest first, so that batches pad little; samples and frames do not mix."""
    shapes = [_shape(recording) for recording in recordings]
    for dimensions in (1, 2):
        order = [i for i, shape in enumerate(shapes) if len(shape) == dimensions]
        order.sort(key=lambda i: -shapes[i][0])
        for start in range(0, len(order), size):
            yield order[start : start + size]


def _shape(recording: Recording) -> tuple[int, ...]:
    """Look up how long a recording is without reading it."""
    import soundfile

    if isinstance(recording, np.ndarray):
        shape = recording.shape
    elif str(recording).endswith(FRAMES):
        shape = np.load(recording, mmap_mode="r", allow_pickle=False).shape
    else:
        try:
            shape = (soundfile.info(recording).frames,)
        except (soundfile.LibsndfileError, OSError) as error:
            raise UserError(f"{recording} cannot be read: {error}") from error
    if len(shape) not in (1, 2) or shape[0] == 0:
        raise UserError(f"expected samples (N,) or frames (T, D), got an array of shape {shape}")
    return shape


def _shortening(heard: Speech, i: int) -> Shortening:
    whole = int(heard.whole_lengths[i])
    if heard.compressed is None:
        return Shortening(whole, 0, 0, [])
    short = heard.compressed
    silent = short.silent[i].nonzero().flatten().tolist()
    return Shortening(whole, int(short.merged[i]), int(short.dropped[i]), silent)
