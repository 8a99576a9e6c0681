"""`transfer_conf` of a configuration: how much the language model teaches, and where."""

from dataclasses import dataclass

from espnet_otreg.ot.options import check_options, option


@dataclass(frozen=True)
class TransferConf:
    """What a language model teaches, with the defaults of arXiv 2509.05609."""

    main_weight: float = option(
        0.3, "η: share of the recognition loss; 1 is the stock model", low=0, high=1
    )
    align_weight: float = option(
        1.0, "w_a: of Σ (1 - cos) between tokens and the frames aligned to them", low=0
    )
    transport_weight: float = option(1.0, "w_t: of the transport cost", low=0)
    layers: tuple[int, ...] = option(
        (), "different encoder layers, from 1, aligned too; their projections serve training alone",
        low=1,
    )  # fmt: skip
    language_model: str | None = option(
        None, "folder or hub name; needed where features are not cached"
    )

    def __post_init__(self) -> None:
        check_options(self)
        if len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers: expected different numbers; received {list(self.layers)}")
