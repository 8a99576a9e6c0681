"""Parts and options that make no speech language model together: refused before data is read."""

from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.models.options import OTConf, SLMConf
from espnet_otreg.pretrained.bases import is_frozen
from espnet_otreg.pretrained.causal_lm import CausalLM


def check_parts(
    adapter: Any, decoder: Any, ctc_weight: float, conf: SLMConf, transport: OTConf
) -> None:
    """Refuse parts that do not fit each other or the options."""
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


def check_table_phase(decoder: Any, conf: SLMConf, ctc_weight: float, transport: float) -> None:
    """Refuse what makes no sense where the adapter trains against the table alone."""
    if conf.objective != "table":
        return
    if ctc_weight > 0:
        raise UserError(
            "slm_conf.objective: table and ctc_weight above 0: expected ctc_weight: 0, whose head "
            "is another layer than the table; slm_conf.table_ctc_weight is the table's"
        )
    if conf.table_weight == 0 and transport == 0:
        raise UserError(
            "slm_conf.objective: table without a loss: expected slm_conf.table_ctc_weight or "
            "ot_conf.weight above 0, got 0 for both"
        )
    if not is_frozen(decoder):
        raise UserError(
            "slm_conf.objective: table trains the adapter alone: expected a frozen language model, "
            "got decoder_conf.trainable or lora_conf: set them in a later phase"
        )
