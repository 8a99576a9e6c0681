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
from espnet_otreg.models.options import OTConf
from espnet_otreg.ot import OTRegLoss, OTRegOutput, Targets, unique_targets
from espnet_otreg.ot.diagnostics import silence_mass


def make_loss(conf: OTConf) -> OTRegLoss:
    """Build the loss."""
    return OTRegLoss(conf.solver(), sparsity_weight=conf.sparsity_weight, cost=conf.cost)


def make_targets(
    conf: OTConf, ids: Tensor, lengths: Tensor, table: Tensor, anchor_id: int
) -> Targets:
    """Look up what speech is drawn to: transcripts (B, L), (B,), or by `control` a neighbour's.

    What helps with a neighbour's too is not the transcript's doing. The table is detached: with
    both sides free, everything collapses to one point.
    """
    if conf.control == "shuffled":
        ids, lengths = ids.roll(1, 0), lengths.roll(1, 0)
    return unique_targets(
        ids, lengths, table.detach(), anchor_id=anchor_id, threshold=conf.unique_threshold
    )


def target_weights(conf: OTConf, targets: Targets, frame_lengths: Tensor) -> Tensor | None:
    """Weigh the targets (B, U); None: all alike.

    By `frames_per_token` each token is given that many frames, and the anchor those that are left,
    but no fewer than a token.
    """
    if conf.frames_per_token is None:
        return None
    spoken = (targets.lengths - 1).clamp(min=0)
    asked = conf.frames_per_token * spoken.to(frame_lengths.device)
    rest = (frame_lengths - asked).clamp(min=conf.frames_per_token) / conf.frames_per_token
    weights = torch.ones_like(targets.ids, dtype=torch.float32)
    return weights.scatter(1, spoken.unsqueeze(1), rest.to(weights).unsqueeze(1))


def measured(conf: OTConf, out: OTRegOutput, targets: Targets) -> dict[str, Tensor]:
    """Return what the training log says of the term, utterances weighted alike."""
    each = out.cost + conf.sparsity_weight * out.sparsity
    return {
        "loss_ot": each.detach().mean(),
        "ot_cost": out.cost.detach().mean(),
        "ot_sparsity": out.sparsity.detach().mean(),
        "ot_marginal_error": out.plan.marginal_error.detach().mean(),
        "ot_silence_mass": silence_mass(out.plan, targets.lengths).mean(),
    }


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
        self._inside = False
        model.register_state_dict_post_hook(partial(self._write))  # takes no bound method
        model.register_load_state_dict_pre_hook(self._read)

    def look(self, training: bool) -> None:
        """Note a batch: an epoch begins with the first one for training after validation."""
        if training and not self._inside:
            self.epoch += 1
        self._inside = training

    def _write(self, model: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
        metadata[EPOCH_KEY] = self.epoch

    def _read(self, model: nn.Module, state: dict, prefix: str, metadata: dict, *_: Any) -> None:
        self.epoch = metadata.get(EPOCH_KEY, 0)
        self._inside = False
