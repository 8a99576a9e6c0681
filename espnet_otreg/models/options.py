"""What the models take in a configuration: every key, its type and its range.

All is checked before data is read. `ot_conf` belongs to every model with a transport term,
`transfer_conf` to `model: ot_transfer`, `model_conf` and the `slm_conf` in it to `model: slm`.
"""

import math
from dataclasses import dataclass
from typing import Any

from espnet_otreg.models.controls import CONTROLS
from espnet_otreg.models.term_weight import MODES
from espnet_otreg.ot.cost import COSTS
from espnet_otreg.ot.options import SolverOptions, check_options, option, same
from espnet_otreg.ot.whiten import WhitenOptions

TABLES = ("decoder", "ctc", "llm")


@dataclass(frozen=True)
class OTConf:
    """The optimal-transport term, with the defaults of `model: otreg`."""

    weight: float = option(0.3, "λ_OT: share of the term in the loss; 0 is the stock model", low=0)
    weight_mode: str = option(
        "value", "what weight means: the factor of the term, or the term's gradient at the frames "
        "over the main loss's, the factor following from it; validation's loss is then the main "
        "one alone", choices=MODES,
    )  # fmt: skip
    sparsity_weight: float = option(0.1, "λ_spr, of the sparsity: one frame, one token", low=0)
    cost: str = option("cosine", "between a frame and a token", choices=tuple(COSTS))
    epsilon: float = same(SolverOptions, "epsilon", 0.1)
    max_iters: int = same(SolverOptions, "max_iters", 50)
    relax_speech: float = same(SolverOptions, "relax_speech", math.inf)
    relax_text: float = same(SolverOptions, "relax_text", math.inf)
    frames_per_token: float | None = option(
        None, "frames that a token weighs, silence those that are left; null: all weigh the same",
        low=0, above=True,
    )  # fmt: skip
    silence: str = option(
        "alike", "what silence weighs: as much as a token or what frames_per_token leaves (alike), "
        "or the share of the frames that CTC calls blank (ctc)", choices=("alike", "ctc"),
    )  # fmt: skip
    text_table: str = option(
        "decoder", "whose rows are the targets: the decoder's input embedding, those of the CTC "
        "layer, or the language model's of model: slm", choices=TABLES,
    )  # fmt: skip
    whiten: str = option(
        "none", "vocabulary: frames and targets meet where the table's rows spread alike in all "
        "directions", choices=("none", "vocabulary"),
    )  # fmt: skip
    whiten_shrinkage: float = same(WhitenOptions, "shrinkage", 0.1)
    centre_frames: bool = option(
        False, "take from an utterance's frames their mean, before anything is compared with them: "
        "what all frames have in common tells none from another",
    )  # fmt: skip
    plan_from: str = option(
        "heard", "whose plan the term follows: that of the frames that the model hears, or that of "
        "the clean ones, before slm_conf.augment, stretched alongside (model: slm)",
        choices=("heard", "clean"),
    )  # fmt: skip
    unique_threshold: float = option(
        0.99, "tokens nearer than this cosine are one target", low=0, above=True, high=1
    )
    contrast_weight: float = option(
        0.0, "of the contrast, which tells each frame from all rows of the table as the plan says; "
        "0: none", low=0,
    )  # fmt: skip
    contrast_scale: float = option(20.0, "of its cosines", low=0, above=True)
    start_epoch: int = option(1, "first epoch in which the term enters the loss", low=1)
    end_epoch: int | None = option(None, "last such epoch; null: the last of all", low=1)
    control: str = option(
        "none", "to see what is not the transcript's doing: an utterance gets its batch "
        "neighbour's transcript (shuffled), that of the nearest neighbour in another language, or "
        "tokens of the batch at random; ot_control_shared in the log is the share that fits "
        "nevertheless", choices=CONTROLS,
    )  # fmt: skip
    unroll: bool = same(SolverOptions, "unroll", False)

    def __post_init__(self) -> None:
        check_options(self)
        if self.silence == "ctc" and self.frames_per_token is not None:
            raise ValueError(
                "silence: expected alike where frames_per_token says what silence weighs; "
                "received 'ctc'"
            )
        if self.unroll and self.plan_from == "clean":
            raise ValueError(
                "plan_from: expected heard where unroll differentiates the plan, as that of clean "
                "frames is constant; received 'clean'"
            )
        if self.end_epoch is not None and self.end_epoch < self.start_epoch:
            raise ValueError(
                f"end_epoch: expected start_epoch ({self.start_epoch}) or later, or null; "
                f"received {self.end_epoch}"
            )

    def solver(self) -> SolverOptions:
        """Return the solver's part of it."""
        return SolverOptions(
            self.epsilon,
            self.max_iters,
            relax_speech=self.relax_speech,
            relax_text=self.relax_text,
            unroll=self.unroll,
        )

    def active(self, epoch: int) -> bool:
        """Tell whether the term enters the loss of this epoch, counted from 1."""
        return self.weight > 0 and self.start_epoch <= epoch <= (self.end_epoch or math.inf)


COMPRESSIONS = ("none", "ot", "ctc", "table")
OBJECTIVES = ("answer", "table")
LIKENESSES = ("dot", "cosine", "distance")

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
        "none", "shorten speech: ot by likeness and silence, ctc by the CTC head, table by the "
        "nearest rows of the language model's table, as objective table has taught them: runs of "
        "one token become one embedding, silence goes", choices=COMPRESSIONS,
    )  # fmt: skip
    table_mixture: bool = option(
        False, "of compression table: what is read is the mean of the table's rows, each as likely "
        "as the embedding is like it, and not the embedding itself",
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
    objective: str = option(
        "answer", "answer: cross-entropy through the language model; table: a phase before it, in "
        "which its layers do not run and the adapter trains against its table of embeddings alone, "
        "by table_ctc_weight and ot_conf.weight. Losses of the two do not compare",
        choices=OBJECTIVES,
    )  # fmt: skip
    table_ctc_weight: float | None = option(
        None, "share of a CTC loss whose output layer is the language model's table, its rows of "
        "ESPnet's token list, with silence as the blank; no parameters of its own, and not "
        "ctc_weight's head. null: 1 with objective table, compression table or an adapter of its "
        "own that trains, else 0", low=0,
    )  # fmt: skip
    table_adapter: str = option(
        "shared", "what CTC by the table reads: shared is the adapter that the language model "
        "reads; own is a second one, which init_param starts as the adapter of objective table: "
        "both then do what they are good at, and decoding's ctc_weight joins them",
        choices=("shared", "own"),
    )  # fmt: skip
    table_likeness: str = option(
        "dot", "of the table's CTC, between a frame f and a row w: dot is f·w, cosine its cosine, "
        "distance f·w - |w|²/2, which is largest where the two are nearest", choices=LIKENESSES,
    )  # fmt: skip
    table_scale: float | None = option(
        None, "what the likeness is multiplied by; null: 1, of cosine 20", low=0, above=True
    )
    augment: dict | None = option(None, "see `slm_conf.augment`")

    @property
    def table_weight(self) -> float:
        """Return `table_ctc_weight`, or what stands for null."""
        if self.table_ctc_weight is not None:
            return self.table_ctc_weight
        learns = self.table_adapter == "own" and "table_adapter" not in self.freeze
        return float(learns or "table" in (self.objective, self.compression))

    @property
    def uses_table(self) -> bool:
        """Tell whether speech is compared with the table's rows."""
        own = self.table_adapter == "own"
        return own or self.table_weight > 0 or "table" in (self.objective, self.compression)

    def __post_init__(self) -> None:
        check_options(self)
        if self.table_adapter == "own" and "table" in (self.objective, self.compression):
            raise ValueError(
                "table_adapter: expected shared, as objective table and compression table read the "
                "adapter itself; received 'own'"
            )
        frozen = "table_adapter" in self.freeze
        if self.table_adapter == "own" and self.table_ctc_weight == 0 and not frozen:
            raise ValueError(
                "table_ctc_weight: expected null or above 0, or table_adapter in freeze, as "
                "nothing else teaches an adapter of its own; received 0"
            )
        if frozen and self.table_ctc_weight:
            raise ValueError(
                f"table_ctc_weight: expected null or 0, as freeze has table_adapter; received "
                f"{self.table_ctc_weight}"
            )
        if self.objective == "table" and self.compression != "none":
            raise ValueError(
                f"compression: expected none, as nothing reads it with objective: table; received "
                f"{self.compression!r}"
            )
        if self.table_mixture and self.compression != "table":
            raise ValueError(
                f"table_mixture: expected compression: table, which it belongs to; received "
                f"{self.compression!r}"
            )


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
    distil_weight: float = option(
        0.0, "w_d: of the cross-entropy against what the language model guesses in each token's "
        "place, where CTC says the token", low=0,
    )  # fmt: skip
    layers: tuple[int, ...] = option(
        (), "different encoder layers, from 1, aligned too; their projections serve training alone",
        low=1,
    )  # fmt: skip
    language_model: str | None = option(
        None, "folder or hub name; needed where features are not cached"
    )
    plan_features: str = option(
        "contextual", "what frames are aligned with: the last layer's features, or static ones, "
        "the input embeddings, through a projection that serves training alone; L_align has the "
        "last layer's in any case", choices=("contextual", "static"),
    )  # fmt: skip
    whiten: bool = option(
        False, "whiten features by those of the training text, input embeddings by those of the "
        "token list",
    )  # fmt: skip
    whiten_shrinkage: float = same(WhitenOptions, "shrinkage", 0.01)
    centre_frames: bool = option(
        False, "take from the projected frames of an utterance their mean, before anything is "
        "compared with them: what all frames have in common tells none from another",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_options(self)
        if len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers: expected different numbers; received {list(self.layers)}")
        if self.plan_features == "static" and not (self.main_weight < 1 and self.transport_weight):
            raise ValueError(
                "plan_features: static needs main_weight below 1 and transport_weight above 0, "
                f"which train its projection; received {self.main_weight}, {self.transport_weight}"
            )
