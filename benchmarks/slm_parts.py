"""Speech language models of published sizes with random weights: nothing is downloaded."""

from typing import Any, NamedTuple

import torch
from espnet2.asr.ctc import CTC
from espnet2.asr.encoder.abs_encoder import AbsEncoder

from espnet_otreg.mini.causal_lm import SIZES
from espnet_otreg.mini.causal_lm_text import train_tokenizer
from espnet_otreg.mini.masked_lm import parallel
from espnet_otreg.models.adapters import StackAdapter
from espnet_otreg.models.slm import SLMModel
from espnet_otreg.pretrained.bases import Base
from espnet_otreg.pretrained.causal_lm import CausalLM

LANGUAGE = "en"


class Shape(NamedTuple):
    """Sizes of a Qwen2 model and of what feeds it."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate: int
    vocabulary: int  # rows of the table, which may exceed the tokenizer's
    tied: bool
    frame: int = 1280  # dimension of the encoder's frames: Whisper-large's
    stack: int = 5
    adapter: int = 2048  # hidden size


_MINI = SIZES["mini"]
SHAPES = {  # Qwen2.5's published sizes
    "mini": Shape(_MINI.hidden, _MINI.layers, _MINI.heads, _MINI.heads, _MINI.intermediate,
                  _MINI.pieces, True, frame=160, stack=2, adapter=512),
    "0.5B": Shape(896, 24, 14, 2, 4864, 151936, True),
    "1.5B": Shape(1536, 28, 12, 2, 8960, 151936, True),
    "7B": Shape(3584, 28, 28, 4, 18944, 152064, False),
    "14B": Shape(5120, 48, 40, 8, 13824, 152064, False),
}  # fmt: skip


class CachedFrames(AbsEncoder):
    """In the place of a frozen encoder whose frames come with the batch."""

    base = Base("cached frames", "00" * 32)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def output_size(self) -> int:
        """Dimension of the frames."""
        return self.size

    def forward(
        self, xs_pad: torch.Tensor, ilens: torch.Tensor, prev_states: Any = None
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Hand the frames on."""
        return xs_pad, ilens, None


def make_tokenizer() -> Any:
    """Learn the mini tokenizer on some sentences of the mini corpora."""
    texts = [meaning[lang] for meaning in parallel("train", 300, 0) for lang in ("en", "es")]
    return train_tokenizer(texts, _MINI.pieces)


def make_network(shape: Shape, tokenizer: Any, device: str, spread: float = 0.02) -> Any:
    """Build a Qwen2 with weights drawn on the device: bfloat16 on a GPU, else float32."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=max(shape.vocabulary, len(tokenizer)),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=4096,
        tie_word_embeddings=shape.tied,
        initializer_range=spread,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    try:
        with torch.device(device):
            return Qwen2ForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(default)


def make_adapter(shape: Shape, width: int) -> StackAdapter:
    """Build the adapter to embeddings of this width."""
    return StackAdapter(shape.frame, width, shape.stack, shape.adapter)


def token_list(tokenizer: Any) -> list[str]:
    """ESPnet's own symbols around every piece."""
    special = set(tokenizer.all_special_tokens)
    pieces = [piece for piece in sorted(tokenizer.get_vocab()) if piece not in special]
    return ["<blank>", "<unk>", *pieces, "<sos/eos>"]


def make_model(shape: Shape, decoder: CausalLM, adapter: StackAdapter, **options: Any) -> SLMModel:
    """Put a model around the parts, which several models may share."""
    tokens = token_list(decoder.tokenizer)
    return SLMModel(
        vocab_size=len(tokens),
        token_list=tokens,
        frontend=None,
        specaug=None,
        normalize=None,
        preencoder=None,
        encoder=CachedFrames(shape.frame),
        postencoder=adapter,
        decoder=decoder,
        ctc=CTC(len(tokens), adapter.output_size()),
        joint_network=None,
        **options,
    )
