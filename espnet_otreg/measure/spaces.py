"""The space in which a trained model meets its transcript: frames, text table, alignments.

The same is asked of a stock ESPnet recogniser, of `model: otreg` and of `model: slm`, so that a
measure taken before regularisation is the measure taken after it. Frames and tables are the ones
that the transport term of training sees, by the models' own code.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet_otreg.errors import UserError
from espnet_otreg.measure.model_plans import close_gaps
from espnet_otreg.models.controls import Transcripts
from espnet_otreg.models.ctc import forced_plan
from espnet_otreg.models.options import OTConf
from espnet_otreg.models.otreg import OTRegASRModel
from espnet_otreg.models.slm import SLMModel
from espnet_otreg.models.transfer import OTTransferASRModel
from espnet_otreg.models.transport_term import TransportTerm, check_dimensions, find_text_table
from espnet_otreg.ot.tensors import length_mask
from espnet_otreg.pretrained.speech_features import check_speech_features

_PROBE_SECONDS = (5.0, 29.0)  # far apart, and within Whisper's window of 30 s
_GAP_SECONDS = 0.4  # up to which a gap between CTC's tokens is closed


class Spoken(NamedTuple):
    """One utterance in a model's space."""

    speech: Tensor  # (T, D) what the transport term sees, before any compression
    ids: list[int]  # (U,) rows of the text table, the transcript in order
    pieces: list[str]  # (U,) the same as text; ▁ or a space begins a word
    forced: np.ndarray | None  # (T, U) CTC's path, gaps closed; None without a CTC branch or a path
    problem: str  # why it cannot be measured, empty where it can
    unforced: str = ""  # why CTC has no path, where it has none


class Transported(NamedTuple):
    """The transport term's plan of one utterance."""

    coupling: np.ndarray  # (T, U') its rows are frames
    targets: list[int]  # (U',) rows of the text table, distinct, the anchor last
    cost: float  # <P, C>


class Space:
    """A trained model, asked for what it makes of speech and text instead of for words.

    Args:
        model: stock ESPnet ASR, `otreg` or `slm`
        preprocess: ESPnet's, turns {"text": str} into ids; not needed for `slm`
        text_table: decoder or ctc, whose rows are the targets; None: what the model's own ot_conf
            says. `slm` has one table, its language model's
        hop: seconds per frame; None: found by asking for the frames of two lengths
    """

    def __init__(
        self,
        model: Any,
        preprocess: Any = None,
        *,
        text_table: str | None = None,
        sampling_rate: int = 16000,
        hop: float | None = None,
    ) -> None:
        if isinstance(model, OTTransferASRModel):
            raise UserError(
                "model: ot_transfer aligns with a language model's features of each sentence, not "
                "with a table of tokens: measure it with espnet_otreg.stages.alignment"
            )
        self.model, self._preprocess = model.eval(), preprocess
        own = model.ot_conf if isinstance(model, OTRegASRModel | SLMModel) else None
        self.conf = replace(own or OTConf(), control="none")  # of training, with its own transcript
        self.regularised = own is not None and own.weight > 0
        if isinstance(model, SLMModel):
            self.table_name, self.table, self.anchor = "llm", model.decoder.table, model.silence
        else:
            self.table_name = text_table or self.conf.text_table
            self.table = find_text_table(model, self.table_name)
            self.anchor = model.blank_id
        self.table = self.table.detach()
        self._terms: dict[OTConf, TransportTerm] = {}
        self.rate = sampling_rate
        self.hop = self._find_hop() if hop is None else hop
        if not 0 < self.hop < float("inf"):
            raise UserError(f"hop is the seconds from frame to frame, above 0; got {self.hop!r}")

    @classmethod
    def open(
        cls,
        experiment: str | Path,
        checkpoint: str,
        *,
        device: str = "cpu",
        text_table: str | None = None,
        hop: float | None = None,
    ) -> "Space":
        """Load an experiment's folder."""
        from espnet_otreg.tasks.asr import ASRTask  # tasks import models, not the other way round

        folder = Path(experiment)
        for needed in (folder / "config.yaml", folder / checkpoint):
            if not needed.is_file():
                raise UserError(f"{needed} does not exist: train first, or check --model_file")
        model, options = ASRTask.build_model_from_file(
            str(folder / "config.yaml"), str(folder / checkpoint), device
        )
        preprocess = None
        if not isinstance(model, SLMModel):
            preprocess = ASRTask.build_preprocess_fn(options, train=False)
            if preprocess is None:
                raise UserError(
                    f"{folder / 'config.yaml'} has use_preprocessor: false, so nobody knows how "
                    "its transcripts are cut into tokens: train with ESPnet's preprocessor"
                )
        rate = (options.frontend_conf or {}).get("fs", 16000)
        fs = {"16k": 16000, "8k": 8000}.get(rate, rate)  # ESPnet takes both spellings
        return cls(model, preprocess, text_table=text_table, sampling_rate=int(fs), hop=hop)

    @torch.inference_mode()
    def place(self, speech: Tensor, lengths: Tensor, texts: Sequence[str]) -> list[Spoken]:
        """Place a batch in the space.

        Args:
            speech: (B, samples) padded with zeros, or (B, T, D) cached frames of an slm's encoder
            lengths: (B,)
            texts: what is said
        """
        frames, frame_lengths, log_probs = self._hear(speech, lengths)
        check_dimensions(self.table, frames.shape[2], self.table_name)
        placed = []
        for row, text in enumerate(texts):
            own = frames[row, : int(frame_lengths[row])]
            ids, pieces, written = self._cut(text)
            forced, unforced = None, ""
            if ids and log_probs is not None:
                try:
                    path = forced_plan(log_probs[row, : len(own)], written, blank=0)
                    forced = close_gaps(path, round(_GAP_SECONDS / self.hop))
                except UserError as error:  # too few frames for the tokens, as after an adapter
                    unforced = str(error)
            problem = "" if ids else "its transcript is empty"
            placed.append(Spoken(own, ids, pieces, forced, problem, unforced))
        return placed

    @torch.inference_mode()
    def transport(self, spoken: Sequence[Spoken], conf: OTConf | None = None) -> list[Transported]:
        """Solve the transport term of utterances, by default with the model's own options."""
        conf = self.conf if conf is None else conf
        device = self.table.device
        speech = pad_sequence([one.speech.float() for one in spoken], batch_first=True)
        lengths = torch.tensor([len(one.speech) for one in spoken], device=device)
        rows = [torch.tensor(one.ids, dtype=torch.long) for one in spoken]
        ids = pad_sequence(rows, batch_first=True, padding_value=-1).to(device)
        sizes = torch.tensor([len(row) for row in rows], device=device)
        term = self._terms.setdefault(conf, TransportTerm(conf))  # one, as it may know the table
        targets = term.targets(Transcripts(ids, sizes), self.table, self.anchor)
        blanks = None
        if conf.silence == "ctc" and self.model.ctc is not None:
            said = self.model.ctc.argmax(speech) == 0
            blanks = (said & length_mask(lengths, said.shape[1])).sum(1) / lengths.clamp(min=1)
        out = term(speech, lengths, targets, self.table, blanks=blanks)
        found = []
        for row, one in enumerate(spoken):
            size = int(targets.lengths[row])
            coupling = out.plan.coupling[row, : len(one.speech), :size].cpu().numpy()
            found.append(
                Transported(coupling, targets.ids[row, :size].tolist(), float(out.cost[row]))
            )
        return found

    def label(self, row: int) -> str:
        """Name a row of the table."""
        if row == self.anchor:
            return "silence"
        if isinstance(self.model, SLMModel):
            return spell(self.model.decoder.tokenizer, [row])[0]
        return self.model.token_list[row]

    def check_features(self, features: str | Path) -> None:
        """Raise a UserError unless cached frames are those of this model's encoder."""
        if not isinstance(self.model, SLMModel) or not hasattr(self.model.encoder, "base"):
            raise UserError("cached frames are for model: slm with an encoder that comes trained")
        encoder = self.model.encoder
        check_speech_features(features, encoder.base, encoder.layer)

    def _hear(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return frames (B, T, D), their lengths, and CTC's log-probabilities if there is CTC."""
        if isinstance(self.model, SLMModel):
            heard = self.model.hear(speech, lengths)
            frames, frame_lengths = heard.whole, heard.whole_lengths
        else:
            # a copy, as ESPnet normalises what it is given in place
            frames, frame_lengths = self.model.encode(speech.clone(), lengths)
            frames = frames[0] if isinstance(frames, tuple) else frames  # inter-CTC
        if self.model.ctc is None:
            return frames, frame_lengths, None
        return frames, frame_lengths, self.model.ctc.log_softmax(frames).cpu()

    def _cut(self, text: str) -> tuple[list[int], list[str], list[int]]:
        """Cut a text into tokens: rows of the table, pieces, and ids of ESPnet's token list."""
        tokens = self.model.token_list
        if isinstance(self.model, SLMModel):
            tokenizer = self.model.decoder.tokenizer
            names = tokenizer.tokenize(text)
            ids = tokenizer.convert_tokens_to_ids(names)
            known = {token: index for index, token in enumerate(tokens)}
            return ids, spell(tokenizer, ids), [known.get(name, 1) for name in names]
        ids = self._preprocess("", {"text": text})["text"].tolist() if text else []
        return ids, [tokens[index] for index in ids], ids

    @torch.inference_mode()
    def _find_hop(self) -> float:
        counts = []
        for seconds in _PROBE_SECONDS:
            samples = int(seconds * self.rate)
            silence = torch.zeros(1, samples, device=self.table.device)
            length = torch.tensor([samples], device=self.table.device)
            counts.append(int(self._hear(silence, length)[1][0]))
        return (_PROBE_SECONDS[1] - _PROBE_SECONDS[0]) / (counts[1] - counts[0])


def spell(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """Return the text that each id adds; ▁ begins a word, and part of a letter adds nothing yet."""
    pieces, done = [], ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:end], clean_up_tokenization_spaces=False).rstrip("\ufffd")
        pieces.append(text[len(done) :].replace(" ", "▁"))
        done = text
    return pieces
