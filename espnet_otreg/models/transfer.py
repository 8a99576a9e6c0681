"""`model: ot_transfer`: a recogniser whose frames learn a language model's view of the transcript.

Frames are projected into a masked language model's space, aligned with its features of the
transcript, and pulled towards them (arXiv 2509.05609 and its line). The text branch has no weights
here: at inference encoder and postencoder are all there is.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from espnet_otreg.compat import ESPnetASRModel, force_gatherable
from espnet_otreg.configuration import read_options
from espnet_otreg.errors import UserError
from espnet_otreg.models.adapters import TransferAdapter
from espnet_otreg.models.ctc import BlankWatch, blank_share, ctc_places
from espnet_otreg.models.distil import distil
from espnet_otreg.models.options import TransferConf
from espnet_otreg.models.teacher import FEATURES, Teacher
from espnet_otreg.ot.align import Alignment, align
from espnet_otreg.ot.align_options import AlignmentConf
from espnet_otreg.ot.diagnostics import told_of_plan
from espnet_otreg.ot.tensors import at_least_float32, centred, full_precision, length_mask, zeroed

_TOP, _ENCODED = 0, -1  # places of what is projected for the text, and of what goes in there


class OTTransferASRModel(ESPnetASRModel):
    """ESPnet's ASR model with `postencoder: transfer_adapter`, taught by a language model.

    Takes the stock model's arguments, `transfer_conf` (see `TransferConf`) and `alignment_conf`
    (see `AlignmentConf`).
    """

    def __init__(
        self,
        *args: Any,
        transfer_conf: dict | None = None,
        alignment_conf: dict | None = None,
        **kwargs: Any,
    ) -> None:
        conf = read_options(TransferConf, transfer_conf or {}, "transfer_conf")
        alignment = read_options(AlignmentConf, alignment_conf or {}, "alignment_conf")
        super().__init__(*args, **kwargs)
        self.transfer_conf, self.alignment_conf = conf, alignment
        if not isinstance(self.postencoder, TransferAdapter):
            raise UserError(
                "model ot_transfer needs postencoder: transfer_adapter, with "
                "postencoder_conf.text_size as wide as the language model's features; "
                f"got postencoder: {type(self.postencoder).__name__}"
            )
        blocks = self._blocks()
        if alignment.temporal_places == "ctc" and self.ctc is None:
            raise UserError(
                "alignment_conf.temporal_places: ctc needs a CTC branch: set ctc_weight above 0"
            )
        if conf.distil_weight > 0 and (self.ctc is None or self.ctc.ctc_type != "builtin"):
            raise UserError(
                "transfer_conf.distil_weight needs a CTC branch of ctc_type: builtin: set "
                "ctc_weight above 0"
            )
        if conf.layers and max(conf.layers) > len(blocks):
            raise UserError(
                f"transfer_conf.layers must be between 1 and the encoder's {len(blocks)} layers, "
                f"got {list(conf.layers)}"
            )
        if conf.layers and getattr(self.encoder.encoders, "layer_drop_rate", 0) > 0:
            raise UserError(
                "transfer_conf.layers needs every layer in every step: set "
                "encoder_conf.layer_drop_rate to 0, or layers to []"
            )
        # Projections of inner layers serve training alone; export_stock leaves them out. Where the
        # terms have no weight there are none, as DDP waits for the gradient of every parameter
        text_size = self.postencoder.to_text.out_features
        self.layers = conf.layers if conf.main_weight < 1 else ()
        self.layer_projections = nn.ModuleList(
            nn.Linear(self.encoder.output_size(), text_size) for _ in self.layers
        )
        self.plan_projection: nn.Linear | None = None
        if conf.plan_features == "static":
            self.plan_projection = nn.Linear(self.encoder.output_size(), text_size)
        self.teacher = Teacher(conf, self.token_list, text_size)  # no module: in no checkpoint
        self._blanks = BlankWatch(self.ctc, self.blank_id)
        self._seen: dict[int, Tensor] | None = None  # by layer or place, while forward runs
        self._encoded: tuple[Tensor, Tensor] | None = None  # for CTC, while forward runs
        self._heard: Tensor | None = None  # the same frames with their graph
        self.postencoder.to_text.register_forward_hook(self._keeper(_TOP))
        for layer in self.layers:
            blocks[layer - 1].register_forward_hook(self._keeper(layer))

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """η times the stock loss plus (1 - η) times the transfer terms.

        Args:
            speech: (B, samples) or (B, T, feature)
            speech_lengths: (B,)
            text: (B, L), padded with -1
            text_lengths: (B,)
            kwargs: "text_features" (B, L + 2, text_size), the first and last row those of the
                language model's [CLS] and [SEP]; without them `transfer_conf.language_model` is
                run; "utt_id" and whatever else the batch carries
        """
        features = self.teacher.features(text, text_lengths, kwargs)
        conf, eta = self.transfer_conf, self.transfer_conf.main_weight

        # 1. Stock forward; hooks keep what is to be aligned, so that speech is encoded once
        self._seen = {}
        try:
            given = speech, speech_lengths, text, text_lengths
            loss, stats, weight = super().forward(*given, **kwargs)
            layers, frame_lengths = self._layers(), self._frame_lengths()
            times = self._times(text, text_lengths)
            with torch.set_grad_enabled(eta < 1 and torch.is_grad_enabled()):
                plan = self._static_plan(frame_lengths, text, text_lengths, times)
                distilled = self._distilled(text, text_lengths, times)
        finally:
            self._seen = self._encoded = self._heard = None  # or the graph would outlive the step

        # 2. The mean of the terms over all layers; measured only where they have no weight
        with torch.set_grad_enabled(eta < 1 and torch.is_grad_enabled()):
            lengths = frame_lengths, text_lengths + 2
            terms = [self._terms(frames, features, *lengths, times, plan) for frames in layers]
            align_loss = torch.stack([term[0] for term in terms]).mean(0).mean()
            transport = torch.stack([term[1].cost for term in terms]).mean(0).mean()
        if eta < 1:
            taught = conf.align_weight * align_loss + conf.transport_weight * transport
            taught = taught + conf.distil_weight * distilled
            loss = eta * loss + (1 - eta) * taught
            stats["loss"] = loss.detach()

        # 3. The same keys on every rank and every step
        measured = {
            "loss_align": align_loss.detach(),
            "ot_cost": transport.detach(),
            **told_of_plan(terms[0][1], text_lengths),
            **blank_share(self._blanks.share(frame_lengths)),
        }
        if conf.distil_weight > 0:
            measured["loss_distil"] = distilled.detach()
        stats.update(force_gatherable(measured, loss.device))
        return loss, stats, weight

    def encode(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Stock encoding; its result is kept for the alignment of the same forward."""
        encoder_out, encoder_out_lens = super().encode(speech, speech_lengths)
        if self._seen is not None:
            frames = encoder_out[0] if isinstance(encoder_out, tuple) else encoder_out
            self._encoded = frames.detach(), encoder_out_lens
            self._heard = frames
            self._blanks.wait()
        return encoder_out, encoder_out_lens

    def collect_feats(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Stock features; those of the text are none of its business."""
        for name in (FEATURES, f"{FEATURES}_lengths"):
            kwargs.pop(name, None)
        return super().collect_feats(*args, **kwargs)

    @torch.no_grad()
    def align(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        features: Tensor,
    ) -> tuple[Alignment, Tensor, Tensor]:
        """Align without training; arguments as in `forward`.

        Returns the top layer's alignment (B, T, L + 2), and what `encode` returns: frames for CTC
        (B, T, dimension) and their lengths.
        """
        self._seen = {}
        try:
            self.encode(speech, speech_lengths)
            assert self._encoded is not None
            frames, lengths = self._encoded
            top, times = self._layers()[0].float(), self._times(text, text_lengths)
            plan = self._static_plan(lengths, text, text_lengths, times)
        finally:
            self._seen = self._encoded = self._heard = None
        if plan is None:
            features, sizes = self.teacher.whitened(features.float()), text_lengths + 2
            plan = align(top, lengths, features, sizes, self.alignment_conf, times)
        return plan, frames, lengths

    def _static_plan(
        self, frame_lengths: Tensor, text: Tensor, text_lengths: Tensor, times: Tensor | None
    ) -> Alignment | None:
        """Align with static features by the projection that is for that; None where it is not."""
        if self.plan_projection is None:
            return None
        assert self._seen is not None
        projected = self._own(self.plan_projection(self._seen[_ENCODED])).float()
        static = self.teacher.static(text, text_lengths)
        return align(projected, frame_lengths, static, text_lengths + 2, self.alignment_conf, times)

    def _terms(
        self,
        projected: Tensor,
        features: Tensor,
        frame_lengths: Tensor,
        lengths: Tensor,
        times: Tensor | None,
        plan: Alignment | None = None,
    ) -> tuple[Tensor, Alignment]:
        """Return L_align (B,) and the alignment of one layer, projected (B, T, text_size).

        The alignment is found between the two, unless `plan` has been found elsewhere.
        """
        projected, features = zeroed(projected.float(), frame_lengths), zeroed(features, lengths)
        found = plan
        if found is None:
            found = align(projected, frame_lengths, features, lengths, self.alignment_conf, times)
        with full_precision(projected.device):  # half precision loses masses below 1e-4
            heard = torch.bmm(found.coupling.transpose(1, 2), projected)  # L̃
            cosine = torch.cosine_similarity(heard, features, dim=2)
        column = torch.arange(features.shape[1], device=features.device)
        inner = length_mask(lengths - 1, features.shape[1]) & (column > 0)  # no [CLS], no [SEP]
        return ((1 - cosine) * inner).sum(1), found

    def _keeper(self, layer: int) -> Any:
        def keep(module: nn.Module, given: tuple, output: Any) -> None:
            if self._seen is not None:
                if layer == _TOP:
                    self._seen[_ENCODED] = given[0]
                while isinstance(output, tuple):  # a block's ((frames, positions), mask)
                    output = output[0]
                self._seen[layer] = output

        return keep

    def _layers(self) -> list[Tensor]:
        """Frames in the text's space: the top's first, then those of `transfer_conf.layers`."""
        seen = self._seen
        assert seen is not None
        inner = zip(self.layers, self.layer_projections, strict=True)
        frames = [seen[_TOP], *(project(seen[layer]) for layer, project in inner)]
        return [self._own(projected) for projected in frames]

    def _own(self, projected: Tensor) -> Tensor:
        if not self.transfer_conf.centre_frames:
            return projected
        return centred(at_least_float32(projected), self._frame_lengths())

    def _frame_lengths(self) -> Tensor:
        assert self._encoded is not None
        return self._encoded[1]

    def _times(self, text: Tensor, text_lengths: Tensor) -> Tensor | None:
        """Where CTC, as it is now, emits each token; None where nobody asks."""
        if self.alignment_conf.temporal_places != "ctc":
            return None
        return self._places(text, text_lengths)

    def _places(self, text: Tensor, text_lengths: Tensor) -> Tensor:
        assert self._encoded is not None
        frames, lengths = self._encoded
        with torch.no_grad():
            log_probs = self.ctc.log_softmax(frames)
        torch.clear_autocast_cache()  # up to torch 2.10 it keeps the weights without a graph
        return ctc_places(log_probs, lengths, text, text_lengths, blank=self.blank_id)

    def _distilled(self, text: Tensor, text_lengths: Tensor, times: Tensor | None) -> Tensor:
        """Return the mean cross-entropy against the teacher's guesses; 0 where it has no weight."""
        if self.transfer_conf.distil_weight == 0:
            return torch.zeros((), device=text.device)
        assert self._heard is not None
        places = (self._places(text, text_lengths) if times is None else times)[:, 1:-1]
        guesses = self.teacher.guesses(text, text_lengths)
        given = self._heard, places, guesses, text_lengths
        return distil(self.ctc, *given, blank=self.blank_id).mean()

    def _blocks(self) -> nn.ModuleList:
        blocks = getattr(self.encoder, "encoders", None)
        return blocks if blocks is not None else nn.ModuleList()


# ESPnet reads a class's options from its signature: show the stock ones and ours
_stock = inspect.signature(ESPnetASRModel.__init__)
_own = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
    for name in ("transfer_conf", "alignment_conf")
]
OTTransferASRModel.__init__.__signature__ = _stock.replace(  # type: ignore[attr-defined]
    parameters=[*_stock.parameters.values(), *_own]
)
