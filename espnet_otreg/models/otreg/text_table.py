"""Where the targets of the alignment come from: a table with one row per token of the model."""

from torch import Tensor, nn

from espnet_otreg.compat import ESPnetASRModel
from espnet_otreg.errors import UserError


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
