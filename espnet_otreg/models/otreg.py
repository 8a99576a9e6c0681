"""`model: otreg`: any ESPnet ASR model plus an optimal-transport term on its encoder's frames.

The term has no parameters: a checkpoint of this model is a checkpoint of the stock model, and with
`ot_conf.weight: 0` loss and gradients are the stock model's, bit for bit.
"""

import inspect
from typing import Any

import torch
from torch import Tensor

from espnet_otreg.compat import ESPnetASRModel, force_gatherable
from espnet_otreg.configuration import read_options
from espnet_otreg.errors import UserError
from espnet_otreg.models.controls import Transcripts
from espnet_otreg.models.options import OTConf
from espnet_otreg.models.transport_term import (
    EpochCount,
    TransportTerm,
    check_dimensions,
    find_text_table,
)
from espnet_otreg.ot import OTRegOutput


class OTRegASRModel(ESPnetASRModel):
    """ESPnet's ASR model, its frames drawn towards the embeddings of their transcript.

    Takes the stock model's arguments and `ot_conf`, a mapping described by `OTConf`.
    """

    def __init__(self, *args: Any, ot_conf: dict | None = None, **kwargs: Any) -> None:
        conf = read_options(OTConf, {} if ot_conf is None else ot_conf, "ot_conf")
        if conf.plan_from == "clean":
            raise UserError("ot_conf.plan_from: clean belongs to model: slm, which augments frames")
        super().__init__(*args, **kwargs)
        self.ot_conf = conf
        self.length_normalized_loss = kwargs.get("length_normalized_loss", False)
        check_dimensions(
            find_text_table(self, conf.text_table), self._frame_dimension(), conf.text_table
        )
        self.ot_loss = TransportTerm(conf, self)
        self._frames: list[tuple[Tensor, Tensor]] | None = None  # a list while forward runs
        self._count = EpochCount(self)

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Stock loss plus λ_OT times the transport term.

        Args:
            speech: (B, samples) or (B, T, feature)
            speech_lengths: (B,)
            text: (B, L), padded with -1
            text_lengths: (B,)
            kwargs: "language" (B, C), bytes of each utterance's language code, padded with -1,
                for the control that asks for it; "utt_id" and whatever else the batch carries
        """
        self._count.look(self.training)

        # 1. Stock forward; `encode` below keeps the frames, so that speech is encoded once
        self._frames = []
        try:
            loss, stats, weight = super().forward(
                speech, speech_lengths, text, text_lengths, **kwargs
            )
            frames, frame_lengths = self._frames[0]
        finally:
            self._frames = None  # or the graph would outlive the step

        # 2. Transport term: in the loss when active, else measured only
        active = self.ot_conf.active(self._count.epoch)
        with torch.set_grad_enabled(active and torch.is_grad_enabled()):
            language = kwargs.get("language")
            said = Transcripts(text[:, : text_lengths.max()], text_lengths, language)
            out, told = self._transport(frames, frame_lengths, said)
        if active:
            loss = self.ot_loss.weight.join(loss, out.loss, self._scale(text_lengths).mean())
            stats["loss"] = loss.detach()

        # 3. The same keys on every rank and every step
        stats.update(force_gatherable(told, loss.device))
        return loss, stats, weight

    def encode(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Stock encoding; the frames are kept for the transport term of the same forward."""
        encoder_out, encoder_out_lens = super().encode(speech, speech_lengths)
        frames = encoder_out[0] if isinstance(encoder_out, tuple) else encoder_out  # inter-CTC
        if self._frames is not None:
            self._frames.append((frames, encoder_out_lens))
            self.ot_loss.blanks.wait()  # for the loss; inter-CTC asks within the encoder
        return encoder_out, encoder_out_lens

    def _transport(
        self, frames: Tensor, frame_lengths: Tensor, said: Transcripts
    ) -> tuple[OTRegOutput, dict[str, Tensor]]:
        table = find_text_table(self, self.ot_conf.text_table)
        scale = self._scale(said.lengths)
        return self.ot_loss.measure(frames, frame_lengths, said, table, self.blank_id, scale)

    def _scale(self, text_lengths: Tensor) -> Tensor:
        """Scale an utterance's term as its main loss is: by its tokens where that sums over them.

        ESPnet sums the CTC and transducer losses over tokens always, the attention loss only
        without `length_normalized_loss`; λ_OT means the same per token in every combination.
        """
        summed = 1.0
        if self.length_normalized_loss and not self.use_transducer_decoder:
            summed = self.ctc_weight
        return summed * text_lengths.float() + (1.0 - summed)  # (B,)

    def _frame_dimension(self) -> int:
        for part in (self.postencoder, self.encoder):
            if part is not None:
                return part.output_size()
        return self.preencoder.output_size() if self.preencoder else self.frontend.output_size()


# ESPnet reads a class's options from its signature: show the stock ones and ours
_stock = inspect.signature(ESPnetASRModel.__init__)
_own = inspect.Parameter("ot_conf", inspect.Parameter.KEYWORD_ONLY, default=None)
OTRegASRModel.__init__.__signature__ = _stock.replace(  # type: ignore[attr-defined]
    parameters=[*_stock.parameters.values(), _own]
)
