"""`slm_conf` of a configuration: the speech language model's own options."""

from dataclasses import dataclass

COMPRESSIONS = ("none", "ot", "ctc")


@dataclass(frozen=True)
class SLMConf:
    """Options of `model: slm`; the transport term's are in `ot_conf`, the prompt's elsewhere."""

    freeze: tuple[str, ...] = ("encoder", "decoder")  # parts that do not train, by name
    compression: str = "none"  # none | ot: by likeness and silence | ctc: by the CTC head
    compression_start: int = 1  # training epochs before this one read everything
    merge_threshold: float = 0.9  # of ot: neighbours with a higher cosine become their mean
    drop_threshold: float = 0.9  # of ot: embeddings nearer to the silence token are dropped
    silence_token: str | None = None  # default: the tokenizer's pad token

    def __post_init__(self) -> None:
        """Check the ranges."""
        for key, allowed, holds in (
            ("compression", f"one of {', '.join(COMPRESSIONS)}", self.compression in COMPRESSIONS),
            ("compression_start", "1 or more", self.compression_start >= 1),
            ("merge_threshold", "between -1 and 1", -1 <= self.merge_threshold <= 1),
            ("drop_threshold", "between -1 and 1", -1 <= self.drop_threshold <= 1),
        ):
            if not holds:
                raise ValueError(f"{key} must be {allowed}, got {getattr(self, key)!r}")
