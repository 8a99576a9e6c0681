"""`model: slm`: speech encoder, adapter and a causal language model that writes the answer.

The adapter's output, by wish shortened, stands in a prompt in front of which and behind which the
language model reads text; cross-entropy on the answer trains it. The transport term of OTReg
(arXiv 2508.08131) draws it to the language model's own embeddings of the transcript.
"""

import logging
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from espnet_otreg.compat import ESPnetASRModel, force_gatherable
from espnet_otreg.configuration import options_of, read_options
from espnet_otreg.errors import UserError
from espnet_otreg.models.augment import FrameAugmentConf, augment
from espnet_otreg.models.controls import Transcripts
from espnet_otreg.models.options import TRANSPORT, OTConf, SLMConf, SLMModelConf
from espnet_otreg.models.prompt import (
    IGNORED,
    Prompt,
    PromptConf,
    Read,
    answer_ids,
    answer_loss,
    language_codes,
    piece_ids,
    prompt_sides,
)
from espnet_otreg.models.table import TableCTC, check_table_phase
from espnet_otreg.models.transport_term import EpochCount, TransportTerm
from espnet_otreg.ot import Compressed, compress
from espnet_otreg.ot.sequences import ctc_compress, right_aligned, splice
from espnet_otreg.ot.views import View
from espnet_otreg.pretrained.bases import BaseWeights, audit, freeze, is_frozen
from espnet_otreg.pretrained.causal_lm import CausalLM, silence_id

PARTS = (  # that ESPnet builds and hands in
    *("vocab_size", "token_list", "frontend", "specaug", "normalize", "preencoder", "encoder"),
    *("postencoder", "decoder", "ctc", "joint_network"),
)
BASES = ("frontend", "encoder", "decoder")  # that may come from elsewhere


class Speech(NamedTuple):
    """Speech as the language model reads it."""

    x: Tensor  # (B, T, D) embeddings, shortened if that is asked for
    lengths: Tensor  # (B,)
    whole: Tensor  # (B, T', D) the adapter's output
    whole_lengths: Tensor  # (B,)
    compressed: Compressed | None  # what became of it
    told: Tensor  # (B, T', D) what CTC by the table reads: whole, or its own adapter's output
    clean: View | None = None  # the adapter's output without augmentation, where asked for


class SLMModel(ESPnetASRModel):
    """A speech language model of ESPnet's parts.

    Takes an encoder, an adapter as postencoder, `decoder: causal_lm` and whatever else ESPnet's
    model is made of, and the options of `SLMModelConf`: `slm_conf` (see `SLMConf`), `ot_conf`
    (`OTConf`), `prompt_conf` (`PromptConf`).
    """

    @options_of(SLMModelConf, "model_conf", PARTS)
    def __init__(self, conf: SLMModelConf, **parts: Any) -> None:
        own = read_options(SLMConf, conf.slm_conf or {}, "slm_conf")
        transport = {**TRANSPORT, **(conf.ot_conf or {})}
        transport_conf = read_options(OTConf, transport, "ot_conf")
        adapter, decoder = parts["postencoder"], parts["decoder"]
        augmented = read_options(FrameAugmentConf, own.augment or {}, "slm_conf.augment")
        _check_parts(adapter, decoder, conf.ctc_weight, own, transport_conf, augmented.changes)
        super().__init__(
            **{**parts, "postencoder": None},  # `encode` then ends with the encoder's frames
            ctc_weight=conf.ctc_weight,
            report_cer=False,
            report_wer=False,
            extract_feats_in_collect_stats=conf.extract_feats_in_collect_stats,
        )
        self.adapter = adapter
        self.table_adapter = deepcopy(adapter) if own.table_adapter == "own" else None
        self.slm_conf, self.ot_conf = own, transport_conf
        prompt = read_options(PromptConf, conf.prompt_conf or {}, "prompt_conf")
        self.prompt = Prompt(prompt, decoder.tokenizer)
        self.silence = silence_id(decoder.tokenizer, own.silence_token)
        pieces = piece_ids(parts["token_list"], decoder)
        self.register_buffer("piece_ids", pieces, persistent=False)
        self.ot_loss = TransportTerm(transport_conf, self)
        self.augment_conf = augmented
        if self.ctc is not None:
            if self.ctc.ctc_type != "builtin":
                raise UserError(f"model: slm needs ctc_type: builtin, got {self.ctc.ctc_type!r}")
            self.ctc.reduce = False  # an utterance's share of the mean, however a batch is split
        freeze(self, own.freeze, "slm_conf.freeze")
        check_table_phase(decoder, own, conf.ctc_weight, transport_conf.weight)
        self.by_table: TableCTC | None = None
        if own.uses_table:
            self.by_table = TableCTC(own, pieces, self.silence)
        self.before_answers = own.objective == "table"
        if self.before_answers:
            logging.info("objective: table: losses compare within this phase alone")
        self._count = EpochCount(self)
        self._bases = BaseWeights(self, {part: parts[part] for part in BASES})
        logging.info(audit(self))

    def train(self, mode: bool = True) -> "SLMModel":
        """Switch the mode of what trains; frozen parts stay as they are at inference."""
        super().train(mode)
        for part in (self.encoder, self.decoder, self.table_adapter):
            if part is not None and is_frozen(part) and not getattr(part, "checkpointed", False):
                part.eval()
        return self

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Cross-entropy on the answer (not so before it), plus CTC and transport by their weights.

        Args:
            speech: (B, samples), or (B, T, D) frames of a frozen encoder, cached
            speech_lengths: (B,)
            text: (B, L) the answer in the token list, padded with -1
            text_lengths: (B,)
            kwargs: "language" (B, C), bytes of each utterance's language code, padded with -1;
                "transcript" (B, M), the language model's ids of what is said, where the answer is
                something else; "utt_id"
        """
        self._count.look(self.training)

        # 1. Speech embeddings; answer and transcript in the language model's ids
        heard = self.hear(speech, speech_lengths)
        text = text[:, : text_lengths.max()]
        ids = self.piece_ids[text.clamp(min=0)].masked_fill(text < 0, -1)  # (B, L)
        spoken = kwargs.get("transcript", ids)
        spoken_lengths = kwargs.get("transcript_lengths", text_lengths)
        language = kwargs.get("language")

        # 2. The language model's answer, but in the phase before it; CTC by its table
        loss, stats = heard.whole.new_zeros(()), dict[str, Tensor]()
        if not self.before_answers:
            codes = language_codes(language, len(ids))
            loss, stats = self._answered(heard, codes, ids, text_lengths)
        if self.by_table is not None and (self.by_table.weight > 0 or not self.training):
            frames = heard.told, heard.whole_lengths
            table, told = self.by_table(*frames, spoken, spoken_lengths, self.rows(self.by_table))
            stats.update(told)
            loss = loss + table

        # 3. CTC on the adapter's output
        if self.ctc is not None:
            shares = self.ctc(heard.whole, heard.whole_lengths, text, text_lengths)  # (B,)
            loss_ctc = (shares / text_lengths.clamp(min=1)).sum()  # per token, as the rest
            loss = loss + self.ctc_weight * loss_ctc
            stats["loss_ctc"] = loss_ctc.detach()

        # 4. Transport to the transcript; without a weight it is measured in validation alone
        if self.ot_conf.weight > 0 or not self.training:
            active = self.ot_conf.active(self._count.epoch)
            with torch.set_grad_enabled(active and torch.is_grad_enabled()):
                term, told = self._transport(heard, Transcripts(spoken, spoken_lengths, language))
            stats.update(told)
            if active:
                loss = self.ot_loss.weight.join(loss, term)

        stats["kept"] = (heard.lengths.sum() / heard.whole_lengths.sum().clamp(min=1)).detach()
        stats["loss"] = loss.detach()
        return force_gatherable((loss, stats, loss.new_tensor(len(text))), loss.device)

    def _answered(
        self, heard: Speech, languages: Sequence[str | None], ids: Tensor, lengths: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of the answers (B, L), and what the log says of it."""
        answer, answer_lengths = answer_ids(ids, lengths, self.decoder.eos)
        read = self.read(heard, languages, answer)
        logits = self.decoder.logits(read.inputs, answer.shape[1] + 1, read.prefix)[:, :-1]
        loss, right = answer_loss(logits, right_aligned(answer, answer_lengths, IGNORED))
        return loss, {"loss_ce": loss.detach(), "acc": right}

    def hear(self, speech: Tensor, speech_lengths: Tensor) -> Speech:
        """Turn speech into embeddings: encode, adapt, shorten."""
        if speech.dim() == 3 and hasattr(self.encoder, "base"):
            size = self.encoder.output_size()
            if speech.shape[2] != size:
                raise UserError(
                    f"cached frames have {speech.shape[2]} dimensions, the encoder's {size}: make "
                    "them again with espnet_otreg.stages.speech_features and this config"
                )
            frames, lengths = speech.float(), speech_lengths
        else:
            grad = torch.is_grad_enabled() and not is_frozen(self.encoder)
            with torch.set_grad_enabled(grad):
                frames, lengths = self.encode(speech, speech_lengths)
        plain, clean = (frames, lengths), None
        if self.training:
            frames, lengths = augment(frames, lengths, self.augment_conf)
        whole, whole_lengths = self.adapter(frames, lengths)
        if self.training and self.ot_conf.plan_from == "clean":
            with torch.no_grad():  # after the other: older autocast caches weights without a graph
                clean = View(*self.adapter(*plain))
        self.ot_loss.blanks.wait()
        short = self._shorten(whole, whole_lengths)
        told = whole
        if self.table_adapter is not None and not (self.training and is_frozen(self.table_adapter)):
            told = self.table_adapter(frames, lengths)[0]
        x, x_lengths = (whole, whole_lengths) if short is None else (short.x, short.lengths)
        return Speech(x, x_lengths, whole, whole_lengths, short, told, clean)

    def read(
        self,
        heard: Speech,
        languages: Sequence[str | None],
        answer: Tensor | None = None,
        room: int = 0,
    ) -> Read:
        """Put speech into its prompt, followed by an answer (B, A), padded with -1, if given.

        `room` is how many tokens the language model will add to it.
        """
        before, after = prompt_sides(self.prompt, languages, heard.x.device)
        given = [after] if answer is None else [after, answer]
        parts = [(self.decoder.embed(ids), (ids >= 0).sum(1)) for ids in given]
        parts.insert(0, (heard.x.to(parts[0][0].dtype), heard.lengths))
        beginnings = [self.prompt.ids(language).before for language in languages]
        following = sum(x.shape[1] for x, _ in parts) + room
        prefix = self.decoder.prefix(beginnings, following)
        if prefix is None:
            parts.insert(0, (self.decoder.embed(before), (before >= 0).sum(1)))
        return Read(splice(parts, "left"), prefix)

    def _shorten(self, x: Tensor, lengths: Tensor) -> Compressed | None:
        conf = self.slm_conf
        if self.training and max(self._count.epoch, 1) < conf.compression_start:
            return None
        if conf.compression == "ot":
            return compress(
                x,
                lengths,
                self.decoder.table[self.silence].detach(),
                merge_threshold=conf.merge_threshold,
                drop_threshold=conf.drop_threshold,
            )
        if conf.compression == "ctc":
            with torch.no_grad():
                best = self.ctc.argmax(x)
            torch.clear_autocast_cache()  # up to torch 2.10 it keeps the weights without a graph
            return ctc_compress(x, lengths, best, self.blank_id)
        if conf.compression == "table" and self.by_table is not None:
            return self.by_table.shorten(x, lengths, self.rows(self.by_table), conf.table_mixture)
        return None

    def rows(self, table: TableCTC) -> Tensor:
        """Return the embeddings that CTC by the table compares with, the blank's first."""
        return self.decoder.embed(table.ids).detach()

    def read_by_table(self, heard: Speech) -> list[list[int]]:
        """Return ids of what the adapter's output says by itself, where the table is known."""
        if self.by_table is None:
            raise UserError("to be read by the table, a model needs slm_conf.table_ctc_weight")
        return self.by_table.read(heard.told, heard.whole_lengths, self.rows(self.by_table))

    def _transport(self, heard: Speech, said: Transcripts) -> tuple[Tensor, dict[str, Tensor]]:
        frames = heard.whole, heard.whole_lengths
        table = self.decoder.table
        out, told = self.ot_loss.measure(*frames, said, table, self.silence, clean=heard.clean)
        return out.loss, told

    def collect_feats(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Nothing to collect: shapes come from data preparation."""
        raise UserError("model: slm needs no statistics: use --feats_normalize utterance_mvn")


def _check_parts(
    adapter: Any, decoder: Any, ctc_weight: float, conf: SLMConf, transport: OTConf, varied: bool
) -> None:
    if not isinstance(decoder, CausalLM):
        raise UserError("model: slm needs decoder: causal_lm, with decoder_conf.model")
    if adapter is None:
        raise UserError("model: slm needs postencoder: stack_adapter (or conv_adapter)")
    if decoder.trainable and "decoder" in conf.freeze:
        raise UserError(
            "decoder_conf.trainable: true and slm_conf.freeze with decoder contradict each other: "
            "set slm_conf.freeze: [encoder]"
        )
    if conf.compression == "ctc" and ctc_weight == 0:
        raise UserError("slm_conf.compression: ctc needs a CTC head: set ctc_weight above 0")
    if transport.text_table != "llm":
        raise UserError("model: slm aligns with the language model's table: text_table: llm")
    if transport.plan_from == "clean" and not varied:
        raise UserError(
            "ot_conf.plan_from: clean follows the plan of frames that are not augmented, but "
            "slm_conf.augment changes none: set it, or plan_from: heard"
        )
