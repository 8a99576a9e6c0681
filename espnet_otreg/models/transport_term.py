"""The transport term as `ot_conf` describes it: what the models that have one share.

The table that its targets come from, the loss, the weights of the targets, and the count of epochs
that tells when it enters the loss.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from espnet_otreg.compat import ESPnetASRModel
from espnet_otreg.errors import UserError
from espnet_otreg.models.controls import Control, Transcripts, shared_tokens
from espnet_otreg.models.ctc import BLANK, BlankWatch, blank_share
from espnet_otreg.models.options import OTConf
from espnet_otreg.models.term_weight import TermWeight
from espnet_otreg.ot import OTRegLoss, OTRegOutput, Targets, unique_targets
from espnet_otreg.ot.contrast import plan_contrast
from espnet_otreg.ot.diagnostics import relative_entropy, silence_mass
from espnet_otreg.ot.loss import weighted_mean
from espnet_otreg.ot.tensors import at_least_float32, centred
from espnet_otreg.ot.views import View, follow
from espnet_otreg.ot.whiten import Whitener, Whitening

_MOST_SILENCE = 0.95  # what tokens have left of an utterance that CTC calls blank throughout


class TransportTerm(nn.Module):
    """The term between frames and the rows of a table; it has no parameters.

    `model` is the one that is trained by it, if any is: what the log tells of CTC comes from its
    layers, and what λ must remember lies in its checkpoints, beside its weights.
    """

    def __init__(self, conf: OTConf, model: ESPnetASRModel | None = None) -> None:
        super().__init__()
        ctc = None if model is None else model.ctc
        if conf.silence == "ctc" and model is not None and ctc is None:
            raise UserError("ot_conf.silence: ctc needs a CTC branch: set ctc_weight above 0")
        self.conf = conf
        self.weight = TermWeight(model, conf.weight, conf.weight_mode)
        self.blanks = BlankWatch(ctc, BLANK if model is None else model.blank_id)
        self.loss = OTRegLoss(conf.solver(), sparsity_weight=conf.sparsity_weight, cost=conf.cost)
        self.control = Control(conf.control)
        self.whitener = None if conf.whiten == "none" else Whitener(conf.whiten_shrinkage)

    def targets(self, said: Transcripts, table: Tensor, anchor_id: int) -> Targets:
        """Look up what speech is drawn to: its transcript, or what `control` puts in its place.

        The table is detached: with both sides free, everything collapses to one point.
        """
        taken, threshold = self.control(said), self.conf.unique_threshold
        return unique_targets(
            taken.ids, taken.lengths, table.detach(), anchor_id=anchor_id, threshold=threshold
        )

    def forward(
        self,
        frames: Tensor,
        frame_lengths: Tensor,
        targets: Targets,
        table: Tensor,
        utterance_weight: Tensor | None = None,
        blanks: Tensor | None = None,
        clean: View | None = None,
    ) -> OTRegOutput:
        """Transport frames (B, T, D) to targets out of the table (V, D), whitened if asked for.

        `blanks` (B,) is the share of the frames that CTC calls blank, where it is known; `clean`
        are frames whose plan is followed in place of their own.
        """
        text, rows, whiten = targets.embeddings, table, self._whitening(table)
        if whiten is not None:
            text = whiten(text)
            rows = whiten(table) if self.conf.contrast_weight > 0 else table
        heard = self._placed(View(frames, frame_lengths), whiten)
        n = frame_lengths if clean is None else clean.lengths  # of the plan's frames
        weights = {
            "utterance_weight": utterance_weight,
            "text_weights": target_weights(self.conf, targets, n, blanks),
        }
        if clean is None:
            out = self.loss(*heard, text, targets.lengths, **weights)
        else:
            written = View(text, targets.lengths)
            out = follow(self.loss, self._placed(clean, whiten), heard, written, **weights)
        if self.conf.contrast_weight == 0:
            return out
        scale, some = self.conf.contrast_scale, (frame_lengths > 0) & (targets.lengths > 0)
        each = plan_contrast(out.plan, *heard, targets.ids, rows, scale)
        mean = weighted_mean(each, some, utterance_weight)
        return out._replace(loss=out.loss + self.conf.contrast_weight * mean, contrast=each)

    def _whitening(self, table: Tensor) -> Whitening | None:
        if self.whitener is None:
            return None
        try:
            return self.whitener.by(table)
        except ValueError as error:
            raise UserError(
                f"ot_conf.whiten: the table of {self.conf.text_table}: {error}"
            ) from error

    def _placed(self, view: View, whiten: Whitening | None) -> View:
        """Put frames where the targets are."""
        x = view.x if whiten is None else whiten(view.x)
        if self.conf.centre_frames:
            x = centred(at_least_float32(x), view.lengths)
        return View(x, view.lengths)

    def measure(
        self,
        frames: Tensor,
        frame_lengths: Tensor,
        said: Transcripts,
        table: Tensor,
        anchor_id: int,
        utterance_weight: Tensor | None = None,
        clean: View | None = None,
    ) -> tuple[OTRegOutput, dict[str, Tensor]]:
        """Return the term between frames (B, T, D) and what is said, and what the log tells.

        `clean` are the frames whose plan is followed, in place of their own.
        """
        targets = self.targets(said, table, anchor_id)
        blanks = self.blanks.share(frame_lengths)
        frames = self.weight.branch(frames)
        out = self(frames, frame_lengths, targets, table, utterance_weight, blanks, clean)
        told = self.told(out, targets, said, anchor_id)
        return out, {**told, **self.weight.told(), **blank_share(blanks)}

    def told(
        self, out: OTRegOutput, targets: Targets, said: Transcripts, anchor_id: int
    ) -> dict[str, Tensor]:
        """Return what the training log says of the term, utterances weighted alike."""
        each = out.cost + self.conf.sparsity_weight * out.sparsity
        told = {
            "loss_ot": each.detach().mean(),
            "ot_cost": out.cost.detach().mean(),
            "ot_sparsity": out.sparsity.detach().mean(),
            "ot_marginal_error": out.plan.marginal_error.detach().mean(),
            "ot_silence_mass": silence_mass(out.plan, targets.lengths).mean(),
            "ot_entropy": relative_entropy(out.plan, targets.lengths).mean(),
        }
        if out.contrast is not None:
            told["loss_ot"] += self.conf.contrast_weight * out.contrast.detach().mean()
            told["ot_contrast"] = out.contrast.detach().mean()
        if self.conf.control != "none":
            told["ot_control_shared"] = shared_tokens(targets.ids, anchor_id, said).mean()
        return told


def target_weights(
    conf: OTConf, targets: Targets, frame_lengths: Tensor, blanks: Tensor | None = None
) -> Tensor | None:
    """Weigh the targets (B, U); None: all alike.

    By `frames_per_token` each token is given that many frames, and the anchor those that are left,
    by `silence: ctc` the anchor is given the frames that are `blanks`; no fewer than a token.
    """
    spoken = (targets.lengths - 1).clamp(min=0)
    if conf.silence == "ctc" and blanks is not None:
        share = blanks.clamp(max=_MOST_SILENCE)
        rest = (share / (1 - share) * spoken).clamp(min=1)
    elif conf.frames_per_token is not None:
        asked = conf.frames_per_token * spoken.to(frame_lengths.device)
        left = (frame_lengths - asked).clamp(min=conf.frames_per_token)
        rest = left / conf.frames_per_token
    else:
        return None
    weights = torch.ones_like(targets.ids, dtype=torch.float32)
    return weights.scatter(1, spoken.unsqueeze(1), rest.to(weights).unsqueeze(1))


def find_text_table(model: ESPnetASRModel, name: str) -> Tensor:
    """Return the (vocabulary, dimension) table that `text_table: decoder | ctc` names.

    `decoder` is the attention (or transducer) decoder's input embedding, `ctc` the rows of the CTC
    output layer. The parameter itself is returned, so that it follows training.
    """
    if name == "ctc":
        if model.ctc is None:
            raise UserError(
                "ot_conf.text_table is 'ctc' but the model has no CTC layer (ctc_weight: 0): "
                "set ctc_weight above 0 or text_table: decoder"
            )
        return model.ctc.ctc_lo.weight
    if name == "llm":
        raise UserError("ot_conf.text_table 'llm' belongs to model: slm: set decoder or ctc")
    if model.decoder is None:
        raise UserError(
            "ot_conf.text_table is 'decoder' but the model has no decoder "
            "(ctc_weight: 1.0 or decoder: null): set text_table: ctc, or ctc_weight below 1"
        )
    for module in model.decoder.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == model.vocab_size:
            return module.weight
    raise UserError(
        f"ot_conf.text_table is 'decoder' but {type(model.decoder).__name__} holds no embedding "
        f"with {model.vocab_size} rows: set text_table: ctc"
    )


def check_dimensions(table: Tensor, frame_dimension: int, name: str) -> None:
    """Frames and targets must live in one space, since the term has no parameters of its own."""
    if table.shape[1] == frame_dimension:
        return
    remedy = (
        "make the decoder's embedding as wide as the encoder's output (encoder_conf.output_size; "
        "for the rnn decoder decoder_conf.hidden_size) or set ot_conf.text_table: ctc"
        if name == "decoder"
        else "set encoder_conf.output_size to the CTC layer's input"
    )
    raise UserError(
        f"frames have {frame_dimension} dimensions, rows of ot_conf.text_table '{name}' have "
        f"{table.shape[1]}: {remedy}"
    )


EPOCH_KEY = "otreg_epoch"  # lives in the state dict's metadata: the keys stay the stock model's


class EpochCount:
    """The epoch a model is in, from 1; kept in its checkpoints, so that it survives a resume."""

    def __init__(self, model: nn.Module) -> None:
        self.epoch = 0
        self._inside = self._told = False
        model.register_state_dict_post_hook(partial(self._write))  # takes no bound method
        model.register_load_state_dict_pre_hook(self._read)

    def look(self, training: bool) -> None:
        """Note a batch: an epoch begins with the first one for training after validation."""
        if training and not self._inside and not self._told:
            self.epoch += 1
        self._inside = training

    def tell(self, epoch: int) -> None:
        """Take the epoch from the trainer, and count no more.

        For one that validates within epochs, or not after each: what `look` counts are then no
        epochs.
        """
        self.epoch, self._told = epoch, True

    def _write(self, model: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
        metadata[EPOCH_KEY] = self.epoch

    def _read(self, model: nn.Module, state: dict, prefix: str, metadata: dict, *_: Any) -> None:
        self.epoch = metadata.get(EPOCH_KEY, 0)
        self._inside = False


def tell_epoch(model: nn.Module, epoch: int) -> None:
    """Tell a model the epoch that begins, from 1; a model that asks for none is left alone."""
    count = getattr(model, "_count", None)
    if isinstance(count, EpochCount):
        count.tell(epoch)
