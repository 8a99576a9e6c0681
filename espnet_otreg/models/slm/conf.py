"""What `model: slm` takes: `model_conf`, and the speech language model's own `slm_conf` in it."""

from dataclasses import dataclass
from typing import Any

from espnet_otreg.ot.options import check_options, option

COMPRESSIONS = ("none", "ot", "ctc")

# Where `ot_conf` of model: slm differs from the defaults of `OTConf`.
TRANSPORT: dict[str, Any] = {"text_table": "llm", "weight": 0.0}


@dataclass(frozen=True)
class SLMModelConf:
    """The CTC share, and the mappings that are told below."""

    ctc_weight: float = option(
        0.0, "below 1; above 0 adds that share of a CTC loss on the adapter's output, over "
        "ESPnet's token list and its own blank", low=0, high=1,
    )  # fmt: skip
    slm_conf: dict | None = option(None, "see `slm_conf`")
    ot_conf: dict | None = option(None, "see `ot_conf`")
    prompt_conf: dict | None = option(None, "see `prompt_conf`")
    extract_feats_in_collect_stats: bool = option(True, "ESPnet's own; nothing is collected here")

    def __post_init__(self) -> None:
        check_options(self)
        if self.ctc_weight == 1:
            raise ValueError("ctc_weight: expected a number from 0 to below 1; received 1")


@dataclass(frozen=True)
class SLMConf:
    """What trains, and how speech is shortened before the language model reads it."""

    freeze: tuple[str, ...] = option(
        ("encoder", "decoder"), "parts that do not train, by name; one that matches nothing is an "
        "error",
    )  # fmt: skip
    compression: str = option(
        "none", "shorten speech: ot by likeness and silence, ctc by the CTC head",
        choices=COMPRESSIONS,
    )  # fmt: skip
    compression_start: int = option(1, "training epochs before it read everything", low=1)
    merge_threshold: float = option(
        0.9, "of ot: neighbours with a higher cosine become their mean", low=-1, high=1
    )
    drop_threshold: float = option(
        0.9, "of ot: embeddings nearer to the silence token are dropped", low=-1, high=1
    )
    silence_token: str | None = option(
        None, "whose embedding stands for silence; null: the tokenizer's pad token"
    )

    def __post_init__(self) -> None:
        check_options(self)
